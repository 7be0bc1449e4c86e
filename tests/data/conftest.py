import gzip
import struct

import numpy as np
import pytest


def idx_bytes(array):
    """An IDX file, written from the format's description."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def write_mnist(tmp_path):
    """Writes a folder of IDX files from arrays; returns the folder."""

    def write(train, test, *, dot="-", zipped=False, folder=tmp_path / "idx"):
        folder.mkdir(exist_ok=True)
        for stem, (images, labels) in (("train", train), ("t10k", test)):
            for what, array in (("images", images), ("labels", labels)):
                data = idx_bytes(np.asarray(array))
                name = f"{stem}-{what}{dot}idx{np.ndim(array)}-ubyte"
                (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
        return folder

    return write


@pytest.fixture
def digits():
    """((train images, labels), (test images, labels)), random."""
    rng = np.random.default_rng(5)

    def part(count):
        return rng.integers(0, 256, (count, 6, 5), np.uint8), rng.integers(0, 10, count)

    return part(40), part(20)
