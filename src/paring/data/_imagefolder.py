"""A folder with one sub-folder of images per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paring.data._dataset import MissingSplit, Source
from paring.errors import DataError

#: What an image file may be called; other files in a class folder are left alone.
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
#: Names of a split's folder.
SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val", "validation")}


def read_imagefolder(where: str, split: str) -> Source:
    """``imagefolder:FOLDER``: FOLDER/class/image.jpg, or FOLDER/train/class/... with a test, val or validation folder
    beside it. Classes are the training folder's sub-folders in alphabetical order.
    """
    folder = Path(where).expanduser()
    if not folder.is_dir():
        raise DataError("folder does not exist", where=f"imagefolder:{where}")
    parts = {name: [folder / n for n in names if (folder / n).is_dir()][:1] for name, names in SPLIT_FOLDERS.items()}
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
    paths: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        for class_folder in _class_folders(folder):
            if class_folder.name not in classes:
                raise DataError(
                    "class is not among the training classes", where=class_folder, expected=f"a folder of {named_by}"
                )
            images = sorted(path for path in class_folder.iterdir() if path.suffix.lower() in SUFFIXES)
            if not images:
                raise DataError("class folder has no images", where=class_folder, expected=", ".join(sorted(SUFFIXES)))
            paths += images
            labels += [classes.index(class_folder.name)] * len(images)
    return Source(
        np.array(labels, np.int64),
        classes,
        lambda number: str(paths[number]),
        lambda numbers: [paths[number] for number in numbers],
        whole=whole,
    )


def _class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
