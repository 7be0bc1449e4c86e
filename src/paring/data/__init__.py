"""Data sets by name, in memory as 8-bit images. Numpy only; Pillow, pyarrow and datasets are imported where needed.

    >>> from paring.data import load
    >>> digits = load("mnist5k", "test")                                    # doctest: +SKIP
    >>> digits.images.shape, digits.prepared(0, 2).dtype                    # doctest: +SKIP
    ((1000, 28, 28, 1), dtype('float32'))

A data set is named ``kind:where``; ``docs/guide/your_data.md`` says what each kind reads. To add one, write a file
with a function ``read(where, split) -> Source`` and give it a row in ``KINDS`` of ``_load.py``."""

from paring.data._adapt import Wish as Wish
from paring.data._adapt import dataset as dataset
from paring.data._adapt import is_data as is_data
from paring.data._adapt import parted as parted
from paring.data._classes import aligned as aligned
from paring.data._classes import numbered as numbered
from paring.data._dataset import Dataset as Dataset
from paring.data._idx import read_idx as read_idx
from paring.data._listing import Listing as Listing
from paring.data._listing import listing as listing
from paring.data._load import KINDS as KINDS
from paring.data._load import load as load
from paring.data._load import test_part as test_part
