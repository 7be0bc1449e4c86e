"""Images in the user's hands as data sets: what is known about the network is used, loaders are read in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler

from paring.api._network import classes_of, preparation_of, shape_of
from paring.data import Dataset, Wish, dataset
from paring.data._given import gathered


def set_of(net: Any, x: Any, wish: Wish, **options: Any) -> Dataset:
    """A data set as :func:`paring.data.dataset` makes it; a shuffled loader is read in the order of its set."""
    classes = options.pop("classes", ()) or classes_of(net)
    return dataset(in_order(x), wish, shape=shape_of(net), classes=classes, **options)


def wish_of(net: Any, options: dict[str, Any]) -> Wish:
    """What the user says of the pictures, taken out of ``options``, else what the network does."""
    return Wish.of(options, preparation_of(net))


def in_order(x: Any) -> Any:
    """A loader that shuffles, as one that does not: what is made of its images is the same every time."""
    if not isinstance(x, DataLoader) or type(x.sampler) is not RandomSampler or x.sampler.replacement:
        return x
    return DataLoader(x.dataset, x.batch_size or 1, num_workers=x.num_workers, collate_fn=x.collate_fn)


def tensor(data: Dataset) -> torch.Tensor:
    """A set as the network sees it, float32 ``(N, C, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(data.prepared().transpose(0, 3, 1, 2)))


def vectors(x: Any, limit: int) -> torch.Tensor | None:
    """Inputs ``(N, F)`` as a tensor; None if ``x`` holds none."""
    if isinstance(x, str) or not (hasattr(x, "shape") or hasattr(x, "__iter__")) or getattr(x, "ndim", 2) != 2:
        return None
    if not hasattr(x, "shape") and iter(x) is x:  # to look at its first batch would be to lose it
        return None
    first: Any = x if hasattr(x, "shape") else next(iter(x), None)
    first = first[0] if isinstance(first, tuple | list) and first else first
    if getattr(first, "ndim", 0) != 2 or "float" not in str(first.dtype):  # 8 bits: a gray picture
        return None
    return torch.from_numpy(gathered(in_order(x), limit)[0][:limit].astype(np.float32))
