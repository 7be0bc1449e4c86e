"""2,000 corruptions of valid files: each is refused with one error that names the place; none crashes, hangs or takes
256 MB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resource")
from paring.container import _frame, _network, read, write
from paring.errors import FormatError
from tests import PYTHONPATH
from tests.fuzz import corruptions


def test_two_thousand_corruptions_are_refused(tmp_path):
    script = Path(__file__).with_name("corruptions.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, "2000", "20151"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert sum(answer["tried"].values()) == 2000
    assert len(answer["tried"]) == 7
    assert min(answer["tried"].values()) > 100
    assert answer["faults"] == []


def test_a_changed_network_section_is_refused_or_is_another_valid_file(tmp_path):
    """Any byte of the plain network section may lie; what is still accepted must be what a writer would write."""
    rng = np.random.default_rng(7)
    path = tmp_path / "net.pare"
    write(path, corruptions.network(rng))
    sections = _frame.split(path.read_bytes(), "valid")
    plain = _network.decode(sections[0].data, sections[0].items, "valid")
    accepted = 0
    for position in rng.permutation(len(plain))[:400]:
        changed = bytearray(plain)
        changed[position] = rng.integers(0, 256)
        if bytes(changed) == plain:
            continue
        path.write_bytes(_frame.join([corruptions.network_section(bytes(changed)), *sections[1:]]))
        try:
            contents = read(path)
        except FormatError:
            continue
        accepted += 1
        again = tmp_path / "again.pare"
        write(again, contents)
        assert again.read_bytes() == path.read_bytes(), f"byte {position} of the network section"
    assert 0 < accepted < 300  # letters of names may change; structure may not
