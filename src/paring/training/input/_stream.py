"""Sources that read as they go: shuffled and augmented for training, in order for scoring."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
import torch
from torch import Tensor

from paring.data import Listing
from paring.errors import ArgumentError
from paring.image import Preparation
from paring.training.augment import Augmentation, augmentation
from paring.training.augment._spec import finish, rows
from paring.training.input._batches import Batch, _part, generator, moved
from paring.training.input._buffers import Buffers
from paring.training.input._decoders import DecodeJob, Decoders

#: Images that are shuffled among each other where a set is stored in blocks.
WINDOW = 2048
#: Images whose encoded bytes are fetched at once where the order of reading costs nothing.
_LOT = 512


class ImageStream:
    """An image set of any size on disk, decoded as it is needed, in shuffled, augmented, prepared batches.

    The same images in the same order with the same augmentation for any number of workers and processes: everything
    random is drawn for the whole batch from (seed, epoch, step). What is held at once: ``workers * prefetch + 2``
    tasks of decoded 8-bit images (about 4 MiB each), the encoded images of two windows where the set is stored in
    blocks (else of about 1,000 images, for files only their names), and the batch in hand.

    Order: a permutation of the set; of a set stored in blocks (Parquet row groups), the blocks in random order, cut
    into windows, the images of each window in random order.

    Args:
        listing: the images; :func:`paring.data.listing`.
        preparation: how an image becomes the network's input.
        size: images per batch, all processes together; a shorter last batch is left out.
        seed: everything random is derived from it.
        augment: see :func:`augmentation`.
        workers: decoding processes; 0 decodes in this one.
        prefetch: tasks that wait for each process.
        window: images that are shuffled among each other where the set is stored in blocks.
        on_bad_image: ``stop`` raises on a damaged image; ``skip`` gives its place to the next readable image of the
            listing, see :attr:`bad`.
        channels_last: memory layout of the images given out.
        rank: which of ``world`` equal parts of each batch is given out.
        world: in how many parts a batch is cut.
        device: where images are augmented and given out; they travel as 8-bit.

    Raises:
        ArgumentError: if an argument cannot be, ``world`` does not divide a batch, or the augmentation is unknown.
        DataError: if the augmentation takes colors from the images and one of those looked at is damaged.
    """

    def __init__(
        self,
        listing: Listing,
        preparation: Preparation,
        *,
        size: int = 128,
        seed: int = 0,
        augment: str | Augmentation = "none",
        workers: int = 0,
        prefetch: int = 2,
        window: int = WINDOW,
        on_bad_image: str = "stop",
        channels_last: bool = False,
        rank: int = 0,
        world: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        if not 1 <= size <= len(listing):
            raise ArgumentError("invalid batch size", found=size, expected=f"1 to {len(listing)}")
        if window < 1:
            raise ArgumentError("invalid window", found=window, expected="1 image or more")
        self.listing, self.preparation, self.size, self.seed = listing, preparation, size, seed
        self.window, self.device = max(window // size, 1) * size, torch.device(device)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self._options = {"workers": workers, "prefetch": prefetch, "on_bad_image": on_bad_image}
        steps = augmentation(augment) if isinstance(augment, str) else augment
        if steps.needs_images:
            sample = listing.sample(preparation, on_bad_image=on_bad_image)
            steps = steps.fitted(torch.from_numpy(sample).permute(0, 3, 1, 2))
        self.augment = steps
        self._share(rank, world)

    def _share(self, rank: int, world: int) -> None:
        self.part, self._buffers = _part(self.size, rank, world), Buffers()
        share = self.part.stop - self.part.start
        self.decoders = Decoders(self.listing, self.preparation, self.augment.cut, size=share, **self._options)  # type: ignore[arg-type]

    def sliced(self, rank: int, world: int) -> ImageStream:
        """The share of one process of the same batches, with decoding processes of its own.

        Raises:
            ArgumentError: if ``world`` does not divide the batch size.
        """
        other = copy(self)
        other._share(rank, world)
        other.decoders.bad = self.decoders.bad  # what the share meets, this one has met
        return other

    @property
    def bad(self) -> dict[str, str]:
        """Every damaged image this process met so far: where it is kept, and what is wrong with it."""
        return self.decoders.named()

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.listing) // self.size

    def order(self, epoch: int) -> Tensor:
        """Places of an epoch's images in the listing, batch after batch, int64; damaged ones included."""
        shuffled = order(len(self.listing), self.listing.blocks, self.window, generator(self.seed, epoch, "order"))
        return torch.from_numpy(shuffled[: len(self) * self.size])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches ``start ..`` of an epoch; those before are neither read nor decoded.

        Raises:
            DataError: naming the image or file that is damaged.
            TrainingError: if a decoding process dies.
        """
        ahead = self.window // self.size if self.listing.blocks is not None else max(_LOT // self.size, 1)
        first = ahead - start % ahead  # a start inside a window reads the rest of that window first
        for step, images, positions in self.decoders.run(self._jobs(epoch, start), ahead, first):
            labels, places = self.listing.labels[positions], torch.from_numpy(positions)
            yield Batch(self._finished(images, epoch, step), torch.from_numpy(labels), places)

    def close(self) -> None:
        """End the decoding processes; another epoch starts new ones. They also end with this object."""
        self.decoders.close()

    def _jobs(self, epoch: int, start: int) -> Iterator[DecodeJob]:
        picked = self.order(epoch).numpy()
        for step in range(start, len(self)):
            batch, drawn = picked[step * self.size : (step + 1) * self.size], None
            if self.augment.cut:
                source = generator(self.seed, epoch, step, "cut")
                drawn = self.augment.cut.draw(self.size, self._shape, source)[0][self.part]  # type: ignore[attr-defined]
            yield DecodeJob(step, batch[self.part], drawn)

    @property
    def _shape(self) -> tuple[int, int, int]:
        height, width, channels = self.preparation.shape
        return channels, height, width

    def _finished(self, images: Tensor, epoch: int, step: int) -> Tensor:
        drawn = self.augment.draw(self.size, self._shape, generator(self.seed, epoch, step, "augment"), cut=False)
        maps = moved(images, self.device).permute(0, 3, 1, 2)
        mean, std = normal(self.preparation, self.device)
        out = self._buffers.take(maps.shape, self.layout) if self.device.type == "cpu" else None
        return finish(maps, mean, std, self.augment, rows(drawn, self.part), cut=False, layout=self.layout, out=out)


class InOrder:
    """A set in its own order, prepared without augmentation, for scoring one that does not fit in memory.

    Iterating gives batches as often as wanted; pixels are exactly the runtime's. With N processes each takes a
    contiguous share: every image once, none twice.

    Args:
        listing: the images.
        preparation: how an image becomes the network's input.
        size: images at a time; a share's last batch is as short as it is.
        workers: decoding processes; 0 decodes in this one.
        on_bad_image: ``stop`` raises on a damaged image; ``skip`` leaves it out, see :attr:`bad`.
        rank: which share is given out.
        world: in how many shares the set is cut.
    """

    def __init__(
        self,
        listing: Listing,
        preparation: Preparation,
        *,
        size: int = 256,
        workers: int = 0,
        on_bad_image: str = "stop",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if size < 1 or not 0 <= rank < world:
            raise ArgumentError("invalid share", found=f"batches of {size}, process {rank} of {world}")
        self.listing, self.preparation, self.size = listing, preparation, size
        self.first, self.last = len(listing) * rank // world, len(listing) * (rank + 1) // world
        self.decoders = Decoders(
            listing, preparation, None, size=size, workers=workers, on_bad_image=on_bad_image, replace=False
        )

    @property
    def bad(self) -> dict[str, str]:
        """As :attr:`ImageStream.bad`."""
        return self.decoders.named()

    def __len__(self) -> int:
        """Batches in this share."""
        return -(-(self.last - self.first) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        return self.at(np.arange(self.first, self.last))

    def at(self, positions: np.ndarray) -> Iterator[Batch]:
        """The images at these places of the set, int64 ``(n,)`` ascending, instead of the share."""
        starts = range(0, len(positions), self.size)
        jobs = (DecodeJob(start, positions[start : start + self.size], None) for start in starts)
        try:
            for _, images, found in self.decoders.run(jobs, max(_LOT // self.size, 1)):
                images, found = images[torch.from_numpy(found >= 0)], found[found >= 0]
                labels = self.listing.labels[found]
                prepared = finish(images.permute(0, 3, 1, 2), *normal(self.preparation, images.device))
                yield Batch(prepared, torch.from_numpy(labels), torch.from_numpy(found))
        finally:
            self.decoders.close()


def order(count: int, blocks: np.ndarray | None, window: int, source: torch.Generator) -> np.ndarray:
    """The order of an epoch.

    Args:
        count: images.
        blocks: int64 ``(count,)``, ascending: the stretch of storage each image is in; ``None`` for a permutation.
        window: images shuffled among each other, after the blocks were shuffled.
        source: where all randomness comes from.

    Returns:
        int64 ``(count,)``, a permutation of 0 to ``count - 1``.
    """
    if blocks is None:
        return torch.randperm(count, generator=source).numpy()
    found, which = np.unique(blocks, return_inverse=True)
    turn = torch.randperm(len(found), generator=source).numpy()
    sequence = np.argsort(turn[which], kind="stable")
    noise = torch.rand(count, generator=source, dtype=torch.float64).numpy()
    return sequence[np.argsort(np.arange(count) // window + noise, kind="stable")]


def normal(preparation: Preparation, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and std as float32 ``(1, C, 1, 1)``."""
    mean, std = (torch.tensor(values, device=device) for values in (preparation.mean, preparation.std))
    return mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
