import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from paring.data import read_idx
from paring.errors import DataError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
GOOD = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, *range(24)])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_hand_written_file_reads_back(tmp_path, pack):
    path = tmp_path / "x"
    path.write_bytes(pack(GOOD))
    np.testing.assert_array_equal(read_idx(path, 3), ARRAY)


BAD = {
    "empty": (b"", "magic of an empty file"),
    "text": (b"hello, I am no IDX file", "magic 68656c6c"),
    "labels where images belong": (bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2]), "magic 00000801"),
    "floats": (bytes([0, 0, 0x0D, 3]) + GOOD[4:], "magic 00000d03"),
    "cut in the header": (GOOD[:9], "cut within its header"),
    "cut in the data": (GOOD[:-1], "cut; found 23 bytes after the header; expected 24"),
    "too long": (GOOD + b"x", "longer than its header says"),
    "no images": (bytes([0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4]), "empty"),
    "a lie about the count": (GOOD[:4] + b"\xff\xff\xff\xff" + GOOD[8:], "found shape|cut"),
    "a larger lie": (GOOD[:4] + b"\xff" * 12, "too large"),
    "gzip cut": (gzip.compress(GOOD)[:-9], "gzip data are damaged or cut"),
    "gzip damaged": (gzip.compress(GOOD)[:14] + b"\xff\xff" + gzip.compress(GOOD)[16:], "damaged|cut|magic"),
    "gzip checksum": (gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:], "gzip data are damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_damage_is_one_clear_error(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)


def test_every_cut_is_refused(tmp_path):
    for pack in (bytes, gzip.compress):
        data = pack(GOOD)
        for length in range(len(data)):
            (tmp_path / "x").write_bytes(data[:length])
            with pytest.raises(DataError):
                read_idx(tmp_path / "x", 3)


def test_missing_file_and_folder_instead_of_file(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_idx(tmp_path / "none", 1)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path, 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_lying_header_takes_no_memory(tmp_path, pack):
    path = tmp_path / "x"
    path.write_bytes(pack(struct.pack(">HBBI", 0, 8, 1, 1 << 31) + b"abc"))
    tracemalloc.start()
    with pytest.raises(DataError, match="cut"):
        read_idx(path, 1)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_gzip_bomb_stops_at_the_header_s_word(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 100) + bytes(200 << 20), 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="longer"):
        read_idx(path, 1)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
