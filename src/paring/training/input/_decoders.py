"""Processes that decode, and the memory they fill: batches of 8-bit images in a fixed order.

torch's DataLoader starts the processes, hands them tasks, gives results back in order, notices when one dies, and ends
them when the trainer is gone. Images do not pass through its queues: they are written into memory shared once, so
nothing is allocated per batch and no more is held than the slots there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from math import ceil, prod
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from paring.data import Listing
from paring.errors import ArgumentError, DataError, TrainingError
from paring.image import Preparation
from paring.training.augment._transforms import Cut
from paring.training.input._decode import Bad, Decoder, Task, decode_into, ignore_interrupts

#: Bytes of decoded images in one task; small tasks start sooner and hold less.
_TASK_BYTES = 4 << 20
#: How many images after a damaged one are tried in its place.
_SEARCH = 1000


class DecodeJob(NamedTuple):
    """One batch to be decoded.

    Attributes:
        key: whatever it is called by.
        positions: int64 ``(n,)``, its images.
        drawn: float ``(n, k)``, the cut's numbers; ``None`` without a cut.
    """

    key: int
    positions: np.ndarray
    drawn: Tensor | None


class Decoders:
    """Decodes batches of a listing, several processes at once, results in the order of the jobs.

    What comes out does not depend on the number of processes. A damaged image stops the work or, with ``skip``, gives
    its place to the next image of the listing that can be read; that depends on nothing but the listing.

    Args:
        listing: the images.
        preparation: how an image becomes the network's input.
        cut: the first step of the augmentation, if it cuts a box.
        size: most images in one job.
        workers: decoding processes; 0 decodes in this one.
        prefetch: tasks that wait for each process, done or not.
        on_bad_image: ``stop`` or ``skip``.
        replace: whether a damaged image's place goes to another one; else its position is given as -1.

    Attributes:
        bad: position and reason of every damaged image met so far.
        memory: uint8 ``(slots, images, H, W, C)``, all decoded images there are; ``None`` before the first job.
        waiting: most encoded images that were fetched ahead at once.
    """

    def __init__(
        self,
        listing: Listing,
        preparation: Preparation,
        cut: Cut | None,
        *,
        size: int,
        workers: int = 0,
        prefetch: int = 2,
        on_bad_image: str = "stop",
        replace: bool = True,
    ) -> None:
        if workers < 0 or prefetch < 1:
            raise ArgumentError("invalid workers", found=f"{workers}, prefetch {prefetch}", expected="from 0, from 1")
        if on_bad_image not in ("stop", "skip"):
            raise ArgumentError("invalid on_bad_image", found=repr(on_bad_image), expected="stop or skip")
        if listing.plain:
            raise ArgumentError("plain pixels need no decoding", where=listing.name, fix="Load the set into memory")
        self.listing, self.preparation, self.cut = listing, preparation, cut
        self.workers, self.prefetch, self.on_bad_image = workers, prefetch, on_bad_image
        self.replace = replace
        most = max(1, _TASK_BYTES // prod(preparation.shape))
        self.share = ceil(size / ceil(size / most))  # images in a task
        self.slots = workers * prefetch + 2
        self.bad: dict[int, str] = {}
        self.memory: Tensor | None = None
        self.waiting = 0
        self._loader: DataLoader[Bad] | None = None
        self._tasks, self._turn = _Tasks(), 0
        self._lock = Lock()  # a listing's files are read by one thread at a time

    def named(self) -> dict[str, str]:
        """Where every damaged image met so far is kept, and what is wrong with it."""
        return {self.listing.place(position): reason for position, reason in sorted(self.bad.items())}

    def run(
        self, jobs: Iterable[DecodeJob], ahead: int, first: int | None = None
    ) -> Iterator[tuple[int, Tensor, np.ndarray]]:
        """Decode.

        Args:
            jobs: the batches; drawn from a few at a time.
            ahead: jobs whose encoded images are fetched at once, in a thread; two such lots are held.
            first: jobs in the first lot, if fewer.

        Yields:
            key, uint8 images ``(n, H, W, C)``, int64 positions ``(n,)``, damaged images replaced.

        Raises:
            DataError: naming the image, if one is damaged.
            TrainingError: if a decoding process dies.
        """
        free, sent = deque(range(self.slots)), deque[tuple[DecodeJob, slice, int]]()
        fetched = self._fetched(iter(jobs), ahead, first or ahead)
        self._tasks.iterator = tasks = self._cut_up(fetched, free, sent)
        self._turn += 1
        try:
            yield from self._collected(iter(self._started()), free, sent)
        except RuntimeError as error:
            self.close()
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                "a decoding process died",
                where=self.listing.name,
                found=str(error).splitlines()[0],
                fix="It was killed or ran out of memory; take fewer workers, or 0 to decode in the training process",
            ) from None
        except GeneratorExit:  # dropped in the middle: the processes stay for the next epoch
            raise
        except BaseException:
            self.close()
            raise
        finally:
            tasks.close()
            fetched.close()

    def _collected(
        self, results: Iterator[Bad], free: deque[int], sent: deque[tuple[DecodeJob, slice, int]]
    ) -> Iterator[tuple[int, Tensor, np.ndarray]]:
        assert self.memory is not None
        images, positions, turn = torch.empty(0), np.empty(0), self._turn
        for bad in results:
            job, some, slot = sent.popleft()
            if some.start == 0:
                images = torch.empty(len(job.positions), *self.preparation.shape, dtype=torch.uint8)
                positions = job.positions.copy()
            images[some] = self.memory[slot, : some.stop - some.start]
            free.append(slot)
            for number, reason in bad:
                self._replace(images, positions, some.start + number, job.drawn, reason)
            if some.stop == len(job.positions):
                yield job.key, images, positions
                if turn != self._turn:
                    raise ArgumentError("one source cannot give two epochs at once", fix="Finish or drop the first")

    def pids(self) -> list[int]:
        """The decoding processes there are."""
        running = getattr(self._loader, "_iterator", None)
        return [worker.pid for worker in getattr(running, "_workers", [])]

    def close(self) -> None:
        """End the processes; the next job starts new ones."""
        self._loader = None
        self.memory = None

    def _started(self) -> DataLoader[Bad]:
        if self._loader is None:
            self.memory = torch.empty(self.slots, self.share, *self.preparation.shape, dtype=torch.uint8)
            if self.workers:
                self.memory.share_memory_()
            several: dict[str, Any] = {"prefetch_factor": self.prefetch, "persistent_workers": True}
            self._loader = DataLoader(
                Decoder(self.memory, self.preparation, self.cut),
                batch_size=None,
                sampler=self._tasks,
                num_workers=self.workers,
                collate_fn=_as_it_is,
                worker_init_fn=ignore_interrupts,
                generator=torch.Generator(),  # its own: the loader would draw from the global one
                **(several if self.workers else {}),
            )
        return self._loader

    def _cut_up(
        self,
        fetched: Iterator[tuple[DecodeJob, list[bytes | Path]]],
        free: deque[int],
        sent: deque[tuple[DecodeJob, slice, int]],
    ) -> Generator[Task, None, None]:
        """Jobs as tasks, each with a free slot."""
        for job, items in fetched:
            for start in range(0, len(items), self.share):
                some = slice(start, min(start + self.share, len(items)))
                slot = free.popleft()
                sent.append((job, some, slot))
                yield Task(slot, items[some], None if job.drawn is None else job.drawn[some].numpy())

    def _fetched(
        self, jobs: Iterator[DecodeJob], ahead: int, first: int
    ) -> Generator[tuple[DecodeJob, list[bytes | Path]], None, None]:
        """Jobs with their encoded images, lots of ``ahead`` jobs, one lot being read while another is used."""

        def read(lot: list[DecodeJob]) -> list[bytes | Path]:
            with self._lock:
                return list(self.listing.fetch(np.concatenate([job.positions for job in lot])))

        with ThreadPoolExecutor(1) as pool:
            lot = list(islice(jobs, first))
            reading = pool.submit(read, lot) if lot else None
            while reading:
                items, coming = reading.result(), list(islice(jobs, ahead))
                reading = pool.submit(read, coming) if coming else None
                self.waiting = max(self.waiting, sum(len(job.positions) for job in [*lot, *coming]))
                start = 0
                for job in lot:
                    yield job, items[start : start + len(job.positions)]
                    start += len(job.positions)
                lot = coming

    def _replace(self, images: Tensor, positions: np.ndarray, row: int, drawn: Tensor | None, reason: str) -> None:
        """Put the next readable image of the listing where a damaged one should be, or -1."""
        position, count = int(positions[row]), len(self.listing)
        self.bad[position] = reason
        if self.on_bad_image == "stop":
            raise DataError(
                "image cannot be read",
                where=self.listing.place(position),
                found=reason,
                fix="Replace it, or go on without such images with on_bad_image='skip' (--on-bad-image skip)",
            )
        if not self.replace:
            positions[row] = -1
            return
        for step in range(1, min(_SEARCH, count)):
            other = (position + step) % count
            with self._lock:
                item = self.listing.fetch(np.array([other]))[0]
            try:
                numbers = None if drawn is None else drawn[row].tolist()
                decode_into(images[row], item, self.preparation, self.cut, numbers)
            except DataError as error:
                self.bad[other] = str(error.found or error.what).splitlines()[0]
                continue
            positions[row] = other
            return
        raise DataError(
            "no image could be read",
            where=f"{self.listing.name}, from {self.listing.place(position)} on",
            found=f"{min(_SEARCH, count)} damaged ones in a row",
        )


class _Tasks:
    """The DataLoader's sampler: what is to be done, exchanged from epoch to epoch."""

    def __init__(self) -> None:
        self.iterator: Any = iter(())

    def __iter__(self) -> Iterator[Task]:
        return self.iterator


def _as_it_is(bad: Bad) -> Bad:
    return bad
