"""A folder with one sub-folder of images per class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from paring.data._dataset import MissingSplit, Source
from paring.errors import DataError

#: What an image file may be called; other files in a class folder are left alone.
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
#: Names of a split's folder.
SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}


def read_imagefolder(where: str, split: str) -> Source:
    """``imagefolder:FOLDER``: FOLDER/class/image.jpg, or FOLDER/train/class/... with a test, val, valid or validation
    folder beside it. Classes are the training folder's sub-folders in alphabetical order. Images may lie in further
    folders inside a class. A folder that is called ``train`` or ``test`` but holds images is a class.
    """
    folder = Path(where).expanduser()
    if not folder.is_dir():
        raise DataError("folder does not exist", where=f"imagefolder:{where}")
    parts = {name: [folder / n for n in names if _is_split(folder / n)][:1] for name, names in SPLIT_FOLDERS.items()}
    if not any(parts.values()):
        return _source([folder], folder, whole=True)
    wanted = parts["train"] + parts["test"] if split == "all" else parts[split]
    if not wanted:
        raise MissingSplit(f"folder has no {split} part", where=folder, expected=" or ".join(SPLIT_FOLDERS[split]))
    return _source(wanted, (parts["train"] or wanted)[0], whole=False)


def _source(folders: list[Path], named_by: Path, whole: bool) -> Source:
    classes = tuple(path.name for path in _class_folders(named_by))
    if not classes:
        raise DataError("folder has no class folders", where=named_by, expected="one sub-folder of images per class")
    files = _Files()
    labels: list[int] = []
    for folder in folders:
        for class_folder in _class_folders(folder):
            if class_folder.name not in classes:
                raise DataError(
                    "class is not among the training classes", where=class_folder, expected=f"a folder of {named_by}"
                )
            count = sum(files.add(inner) for inner in _folders_inside(class_folder))
            if not count:
                raise DataError("class folder has no images", where=class_folder, expected=", ".join(sorted(SUFFIXES)))
            labels += [classes.index(class_folder.name)] * count
    files.close()
    return Source(
        np.array(labels, np.int64),
        classes,
        lambda number: str(files.path(number)),
        lambda numbers: [files.path(int(number)) for number in numbers],
        whole=whole,
    )


class _Files:
    """Many paths in little memory: the names as one string of bytes, about 30 a file where a Path takes 500."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.counts: list[int] = []
        self.names: list[bytes] = []
        self.blob, self.ends, self.starts = b"", np.zeros(1, np.int64), np.zeros(1, np.int64)

    def add(self, folder: Path) -> int:
        """Take a folder's images, in alphabetical order; returns how many."""
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries if Path(entry.name).suffix.lower() in SUFFIXES)
        self.folders.append(folder)
        self.counts.append(len(found))
        self.names += [os.fsencode(name) for name in found]
        return len(found)

    def close(self) -> None:
        self.blob = b"".join(self.names)
        self.ends = np.cumsum([0, *map(len, self.names)])
        self.starts = np.cumsum([0, *self.counts])
        self.names = []

    def path(self, number: int) -> Path:
        folder = self.folders[int(np.searchsorted(self.starts, number, "right")) - 1]
        return folder / os.fsdecode(self.blob[self.ends[number] : self.ends[number + 1]])


def _class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_split(folder: Path) -> bool:
    """Whether a folder holds class folders, and not the images of a class that has this name."""
    if not folder.is_dir() or not _class_folders(folder):
        return False
    with os.scandir(folder) as entries:
        return not any(Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file() for entry in entries)


def _folders_inside(folder: Path) -> list[Path]:
    """The folder and all below it, in alphabetical order, hidden ones left out."""
    found = []
    for place, inner, _ in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found.append(Path(place))
    return found
