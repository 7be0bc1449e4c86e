import os
import subprocess
import sys
import time

import numpy as np
import pytest

from paring.cli.measure import _latency
from paring.cli.measure._latency import Latency, NotMeasurableError, Program, alternate
from paring.cli.measure._load import Load, cores
from paring.cli.measure._scoring import Score
from paring.cli.options._common import checked_threads


def test_programs_run_by_turns_and_the_first_turn_is_warm_up(monkeypatch):
    monkeypatch.setattr(_latency, "_disturbance", lambda found, foreign: "")
    calls = []
    programs = {
        name: Program(lambda name=name: calls.append(name), 1, lambda name=name: calls.append(f"ready {name}"))
        for name in "ab"
    }
    found = alternate(programs, seconds=1e-6, chunk=0.0)
    turn = [call for name in "ab" for call in (f"ready {name}", *name * 4)]
    rounds = len(calls) // len(turn)
    assert rounds >= 2
    assert calls == turn * rounds
    assert [(len(one.seconds), one.runs) for one in found.values()] == [(rounds - 1, 3 * (rounds - 1))] * 2


def test_a_turn_counts_by_its_median(monkeypatch):
    """One slow run, as when something else wakes up, changes nothing."""
    waits = iter([0.0] * 4 + [0.002, 0.002, 0.05, 0.002] * 8)
    monkeypatch.setattr(_latency, "_disturbance", lambda found, foreign: "")
    found = alternate({"a": Program(lambda: time.sleep(next(waits)))}, seconds=0.2, chunk=0.0)["a"]
    assert found.median == pytest.approx(2, abs=1)


def test_latency_in_milliseconds():
    latency = Latency(np.arange(1, 102) / 1000, 500)
    assert (latency.low, latency.median, latency.high) == pytest.approx((11, 51, 91))
    assert str(latency) == "51.000 ms (11.000 to 91.000)"


def test_what_disturbs_is_said(monkeypatch):
    monkeypatch.setattr(_latency, "cores", lambda: 4)
    steady = {"a": Latency(np.full(9, 0.001), 9, 2), "b": Latency(np.full(9, 0.002), 9, 1)}
    assert _latency._disturbance(steady, None) == _latency._disturbance(steady, 2.2) == ""
    assert _latency._disturbance(steady, 2.3) == "other work kept 2.3 of 4 cores busy"
    shaky = {"a": Latency(np.array([0.001] * 5 + [0.005] * 5), 10)}
    assert _latency._disturbance(shaky, 0.0) == "times of a vary from 1.000 to 5.000 ms"


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="this system does not tell how busy its cores are")
def test_a_busy_process_beside_is_seen():
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores())]
    try:
        load, until = Load(), time.perf_counter() + 1.0
        while time.perf_counter() < until:  # this process's own work is not foreign
            pass
        foreign = load.foreign()
    finally:
        for one in spin:
            one.kill()
            one.wait()
    assert foreign > 0.3 * cores()
    program = Program(lambda: None, cores())
    assert "other work kept" in _latency._disturbance({"a": Latency(np.ones(3), 3, program.threads)}, foreign)


def test_disturbed_times_are_tried_again_and_then_given_up(monkeypatch):
    tried = []
    monkeypatch.setattr(_latency, "_disturbance", lambda found, foreign: tried.append(foreign) or "noise")
    with pytest.raises(NotMeasurableError, match="noise"):
        alternate({"a": Program(lambda: None)}, seconds=1e-6, chunk=0.0)
    assert len(tried) == 3


def test_threads_are_those_of_openmp_s_variable(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert checked_threads(None) == cores()
    for value, threads in (("1", 1), ("3,2", 3), ("many", cores()), ("0", cores())):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert checked_threads(None) == threads
        assert checked_threads(5) == 5


def test_score_against_a_loop():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(50, 7)).astype(np.float32), rng.integers(0, 7, 50)
    found = Score(scores, labels, 1.0)
    for k in (1, 3, 7):
        missed = sum(
            label not in sorted(range(7), key=lambda c: -row[c])[:k] for row, label in zip(scores, labels, strict=True)
        )
        assert found.top(k) == missed / 50
    assert found.error == found.top(1) == found.wrong / 50
