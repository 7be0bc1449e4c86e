"""docs/reference/format.md says what the program does: its tables, its example and its primer are made from it."""

import hashlib

import numpy as np
import pytest

from paring.coding import adaptive
from paring.container import _frame, read
from paring.container._primer import PRIMER
from tests.container import format_tables


def test_the_document_is_up_to_date():
    text = format_tables.DOCUMENT.read_text()
    assert format_tables.filled(text) == text, "run `python tests/container/format_tables.py`"


def test_the_example_has_these_bytes_for_ever():
    assert format_tables.example_bytes("adaptive").hex() == (
        "89504152010201402" "8aaeb43f402020ce86c6d3eaa890a2d"
        "ffb82e5860a6361ddf0ea360772c346d2f8832d339b7a339733ed759c9cb84df7b65b36a59a09d43"
        "d91f50a87329863e008fa12b"
    )  # fmt: skip
    assert hashlib.sha256(PRIMER).hexdigest()[:16] == "e5e20240a7033979"


def test_huffman_example_by_hand(tmp_path):
    """The weights section in the paper's coding, written out from the document."""
    data = format_tables.example_bytes("huffman")
    body = _frame.split(data, "example")[1].data
    centroids = np.array([-0.5, 0.25, 0.75], "<f2").tobytes()
    # entries: zeros skipped 1, 2, 1, 4 before the codes 1, 2, 3, 1
    gaps = "000000000000000100010000000000000001000000011010" + "010011"
    codes = "00000000000000010001000010" + "010110"
    packed = b"".join(
        int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big") for bits in (gaps, codes)
    )
    bias = np.array([0.0, 0.5, -1.0], "<f2").tobytes()
    assert body == centroids + bytes([4, 5]) + packed + bias


@pytest.mark.parametrize("coding", ["adaptive", "huffman"])
def test_the_example_reads_back(tmp_path, coding):
    path = tmp_path / "example.pare"
    path.write_bytes(format_tables.example_bytes(coding))
    mine, theirs = format_tables.example(), read(path)
    assert theirs.graph.nodes == mine.graph.nodes
    assert all(form.equals(theirs.graph.weights[name]) for name, form in mine.graph.weights.items())


def test_the_example_is_read_without_the_native_module(tmp_path, monkeypatch):
    path = tmp_path / "example.pare"
    path.write_bytes(format_tables.example_bytes("adaptive"))
    native = read(path)
    monkeypatch.setattr(adaptive, "native", None)
    assert all(form.equals(native.graph.weights[name]) for name, form in read(path).graph.weights.items())
