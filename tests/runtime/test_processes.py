"""Engines of several threads in forked and spawned processes, beside other threads, and at exit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORK = ["fork", "fork_and_destroy_unused", "fork_before_the_first_run", "fork_twice", "fork_while_threads_run"]
POOLS = ["pool fork", "pool forkserver", "pool spawn"]
ANYWHERE = ["pool spawn", "profile_while_threads_run", "idle_at_exit", "sub_interpreter"]
HERE = [*FORK, *POOLS, *ANYWHERE[1:]] if hasattr(os, "fork") else ANYWHERE


@pytest.mark.parametrize("scenario", HERE)
def test_it_answers_right_and_ends(scenario):
    command = [sys.executable, "-m", "tests.runtime.process_scenarios", *scenario.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
