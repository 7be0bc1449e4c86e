import gzip

import pytest

pytest.importorskip("typer", reason="typer is not installed")
pytest.importorskip("rich", reason="rich is not installed")

from paring.cli import main
from paring.container import write
from tests.cli.examples import TINY, digits, idx_bytes, small_contents


@pytest.fixture
def paring(capfd):
    """Runs the command line in this process; returns (exit code, stdout, stderr)."""

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return stopped.value.code, out, err

    return run


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory):
    """300 training and 100 test images in MNIST's format."""
    folder = tmp_path_factory.mktemp("idx")
    for stem, count, seed in (("train", 300, 1), ("t10k", 100, 2)):
        images, labels = digits(count, seed)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A user's own file; ``tiny:tiny`` is a network."""
    path = tmp_path_factory.mktemp("own") / "tiny.py"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def pare(tmp_path_factory):
    """A small .pare file."""
    path = tmp_path_factory.mktemp("pare") / "small.pare"
    write(path, small_contents())
    return path
