"""From ``kind:where`` to batches: in memory where the set is small, from disk where it is not."""

from __future__ import annotations

from math import prod
from typing import Any

from paring.data import Listing, listing, load
from paring.errors import ArgumentError
from paring.image import Preparation
from paring.training.augment import Augmentation, augmentation
from paring.training.input._batches import Batches
from paring.training.input._stream import WINDOW, ImageStream

#: Most bytes of 8-bit images that are kept in memory unless told otherwise.
MEMORY = 2 << 30


def source(
    spec: str,
    split: str = "train",
    *,
    preparation: Preparation | None = None,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    limit: int | None = None,
    batch: int = 128,
    seed: int = 0,
    augment: str | Augmentation = "none",
    memory: int = MEMORY,
    streaming: bool | None = None,
    workers: int = 0,
    window: int = WINDOW,
    on_bad_image: str = "stop",
    channels_last: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Batches | ImageStream:
    """Training batches of a data set by its name, by the way that suits its size.

    It is decoded into memory once if it takes at most ``memory`` bytes there, and streamed if it takes more. It is
    also streamed if the augmentation cuts boxes out of images that differ from the input in size: cut from what a
    center crop left, they would be less of the picture.

    Args:
        spec: ``kind:where``, as for :func:`paring.data.load`.
        split: ``train``, ``test`` or ``all``.
        preparation: how an image becomes the network's input; excludes the next four, which are found where not given:
            exactly if the set is loaded, from a sample of the images if it is streamed.
        size: height and width in pixels, or one number for both.
        channels: 1 (gray) or 3 (RGB).
        mean: per channel, in units of 0..1.
        std: per channel, in units of 0..1.
        limit: take only so many samples, evenly spaced over the split.
        batch: images per batch, all processes together.
        seed: everything random is derived from it.
        augment: see :func:`augmentation`.
        memory: most bytes of 8-bit images to keep.
        streaming: True or False to decide oneself; a set of plain pixels (MNIST) is never streamed.
        workers: decoding processes of a stream.
        window: images of a stream that are shuffled among each other where the set is stored in blocks.
        on_bad_image: ``stop``, or ``skip``: a set in memory leaves damaged images out, a stream gives their place to
            others.
        channels_last: memory layout of the images given out.
        rank: which of ``world`` equal parts of each batch is given out.
        world: in how many parts a batch is cut.

    Raises:
        DataError: if the set is missing, empty, damaged or labeled out of range.
        ArgumentError: if an argument cannot be.
    """
    found = listing(spec, split, limit=limit)
    asked: dict[str, Any] = {"size": size, "channels": channels, "mean": mean, "std": std}
    if preparation is not None and any(value is not None for value in asked.values()):
        raise ArgumentError("a preparation already fixes size, channels, mean and std", fix="Give one or the other")
    steps = augmentation(augment) if isinstance(augment, str) else augment
    common: dict[str, Any] = {
        "seed": seed,
        "augment": steps,
        "channels_last": channels_last,
        "rank": rank,
        "world": world,
    }
    if not found.plain:
        likely = preparation or found.preparation(**asked, on_bad_image=on_bad_image)
        if streams(found, likely, steps, memory) if streaming is None else streaming:
            return ImageStream(
                found, likely, size=batch, workers=workers, window=window, on_bad_image=on_bad_image, **common
            )  # type: ignore[arg-type]
    elif streaming:
        raise ArgumentError("plain pixels cannot be streamed", where=spec, fix="Leave streaming out")
    data = load(spec, split, **asked, limit=limit, preparation=preparation, on_bad_image=on_bad_image)
    normal: dict[str, Any] = {"mean": data.preparation.mean, "std": data.preparation.std}
    return Batches(data.images, data.labels, size=batch, **normal, **common)


def streams(found: Listing, preparation: Preparation, augment: Augmentation, memory: int) -> bool:
    """Whether a set should be streamed: too large for ``memory`` bytes, or cut at its own resolution."""
    return len(found) * prod(preparation.shape) > memory or bool(augment.cut and preparation.resize)
