"""A teacher's logits on disk: computed once over a data set, looked up by each image's place in it.

The logits are those of the images as they are, undistorted, as in Hinton's transfer set; they are free of any
temperature, and the members of an ensemble are kept apart, so that one file serves every temperature and average.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring.data import Dataset
from paring.distillation._cache_file import DTYPES, Writer, read
from paring.errors import ArgumentError, CheckpointError, TrainingError
from paring.training import World
from paring.training._distributed import device_of, together
from paring.training.input import Batch
from paring.training.loop import differences

#: How far a kept logit may be from what the teacher says now, relative to 1 + the largest: half precision, and the
#: order in which another machine adds.
_AGREE = 2e-3


class CachedLogits:
    """A teacher whose answers are known; see :func:`cached_logits`.

    It knows what the teacher said to the undistorted image. A student that sees a distorted one is then taught the
    answer to another picture: with small shifts that is a mild lie, with crops or mixed images a gross one. Mixed
    images are refused; whether images are distorted only the caller knows.

    Attributes:
        networks: empty; nothing is run.
        path: the file.
        words: what the logits depend on.
    """

    networks: tuple[nn.Module, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows, self.words = read(path)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(images, members, classes)."""
        return self._rows.shape  # type: ignore[return-value]

    def row(self, number: int) -> np.ndarray:
        """Logits of one image, float32 ``(members, classes)``."""
        return self._rows[number].astype(np.float32)

    def logits(self, batch: Batch) -> Tensor:
        """Logits ``(members, N, classes)``, float32, by ``batch.indices``.

        Raises:
            ArgumentError: if the batch's images are mixed, or from a larger set than the cache's.
        """
        if batch.targets is not None:
            raise ArgumentError("cached logits do not know mixed images", where=self.path, fix="Leave out mixup")
        indices = batch.indices.cpu().numpy()
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self._rows):
            raise ArgumentError(
                "image is not among the cached ones",
                where=self.path,
                found=f"image {indices.max()}",
                expected=f"0 to {len(self._rows) - 1}",
            )
        found = torch.from_numpy(self._rows[indices].astype(np.float32))
        return found.transpose(0, 1).to(batch.images.device)


def cached_logits(
    path: Path,
    networks: Sequence[nn.Module],
    data: Dataset,
    *,
    dtype: str = "F32",
    batch: int = 256,
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> CachedLogits:
    """What these networks answer to these images: from the file, or computed and written to it.

    The file says of which data (hash of pixels, labels and classes, and how images are prepared) and of which teachers
    (hashes of architecture and of weights) it is. While it is made it is called ``FILE.partial``; a run that was
    killed goes on after the last whole batch it left.

    Several processes take its batches in turn, and the first one writes what all computed: the batches, and so the
    bytes, are those of one process. None waits for another longer than a batch takes.

    Args:
        path: the file, ``(images, members, classes)``, in the data's order.
        networks: one teacher, or an ensemble's members; put into eval mode.
        data: the images to be learned from; ``batch.indices`` later count in it.
        dtype: ``F32``, or ``F16`` for half the size and three significant digits.
        batch: images at once.
        progress: called with (images done, images in all), in the first process.
        world: the processes that share the work, each of which calls this function; this one alone if not given. All
            need to see the finished file.

    Raises:
        CheckpointError: if the file is damaged, or of other data or another teacher, with all differences by name.
        ArgumentError: if there is no network or no such dtype.
        TrainingError: if a logit is not finite, or beyond the range of ``F16``; or another process is gone.
        OutputError: if it cannot be written.
    """
    if not networks:
        raise ArgumentError("distillation needs a teacher", found="none")
    if dtype not in DTYPES:
        raise ArgumentError("unknown type of cached logits", found=repr(dtype), expected=" or ".join(DTYPES))
    words, world = identity(networks, data) | {"dtype": dtype}, world or World(torch.device("cpu"))
    done = [0]  # images, for the error of a process that is left alone

    def count(images: int, total: int) -> None:
        done[0] = images
        if progress and world.main:
            progress(images, total)

    with together(world, lambda: f"{path}, image {done[0]:,} of {len(data):,}"):
        if not world.shared(path.exists()):
            _write(path, networks, data, dtype, words, batch, count, world)
        return world.agreed(partial(_opened, path, networks, data, words, world))


def _opened(
    path: Path, networks: Sequence[nn.Module], data: Dataset, words: dict[str, Any], world: World
) -> CachedLogits:
    """The file, once it is there, checked against what it should be of."""
    if not world.main and not path.exists():
        raise CheckpointError(
            "cached logits are not where every process can read them",
            where=path,
            found=f"none for process {world.rank} of {world.size}",
            fix="Name a file on a disk that all machines share, or copy it to the same place on each",
        )
    cache = CachedLogits(path)
    if changed := differences(cache.words, words):
        raise CheckpointError(
            "cached logits are of something else",
            where=path,
            found="; ".join(changed),
            fix="Name another file, or delete this one",
        )
    _spot_check(cache, networks, data)
    return cache


def identity(networks: Sequence[nn.Module], data: Dataset) -> dict[str, Any]:
    """What logits depend on, as JSON values: the data, its preparation, each teacher's architecture and weights."""
    preparation = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(data.preparation).items()}
    return {
        "data": {"sha256": data.digest, "images": len(data), "preparation": preparation},
        "teachers": {str(k): teacher_identity(network) for k, network in enumerate(networks, 1)},
    }


def teacher_identity(network: nn.Module) -> dict[str, str]:
    """SHA-256 of a network's architecture (paths, classes and arguments of its layers) and of its weights."""
    architecture = hashlib.sha256()
    for path, module in network.named_modules():
        kind = type(module)
        architecture.update(f"{path}\x1f{kind.__module__}.{kind.__qualname__}\x1f{module.extra_repr()}\n".encode())
    weights = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        weights.update(f"{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return {"architecture": architecture.hexdigest(), "weights": weights.hexdigest()}


def _spot_check(cache: CachedLogits, networks: Sequence[nn.Module], data: Dataset) -> None:
    """Ask the teachers about the first image and the last: a changed ``forward`` leaves no trace in the hashes."""
    for row in {0, len(data) - 1}:
        asked, kept = _ask(networks, data, row, row + 1)[0], cache.row(row)
        apart = float(np.abs(asked - kept).max()) if asked.shape == kept.shape else math.inf
        if not apart <= _AGREE * (1 + float(np.abs(asked).max())):
            raise CheckpointError(
                "cached logits are of something else",
                where=cache.path,
                found=f"logits of image {row} {apart:.3g} from the teacher's",
                fix="Name another file, or delete this one",
            )


def _write(
    path: Path,
    networks: Sequence[nn.Module],
    data: Dataset,
    dtype: str,
    words: dict[str, Any],
    batch: int,
    progress: Callable[[int, int], None],
    world: World,
) -> None:
    """Compute every row that is not there yet, then give the file its name.

    The processes take turns batch by batch, rather than a long stretch each: so the file only ever grows at its end,
    a killed run can go on with another number of processes, and nobody waits for long.
    """
    classes = world.agreed(lambda: _ask(networks, data, 0, 1).shape[-1])
    writer = Writer(path, (len(data), len(networks), classes), dtype, words)
    done = world.shared(writer.rows(batch))
    file = world.agreed(lambda: writer.open(done) if world.main else None)
    with file or nullcontext():
        for start in range(done, len(data), batch * world.size):
            mine = start + world.rank * batch
            own = world.agreed(partial(_rows, networks, data, dtype, mine, mine + batch))
            every = np.concatenate([rows for rows in world.gathered(own) if rows is not None])
            world.agreed(partial(writer.append, file, every) if file else lambda: None)
            progress(start + len(every), len(data))
    world.agreed(writer.finish if world.main else lambda: None)


def _rows(networks: Sequence[nn.Module], data: Dataset, dtype: str, start: int, stop: int) -> np.ndarray | None:
    """Logits of a batch as they are kept; ``None`` behind the last image, where this process has no batch left."""
    if start >= len(data):
        return None
    with np.errstate(over="ignore"):  # found by the check
        rows = _ask(networks, data, start, stop).astype(DTYPES[dtype])
    _check_finite(rows, dtype, start)
    return rows


@torch.no_grad()
def _ask(networks: Sequence[nn.Module], data: Dataset, start: int, stop: int) -> np.ndarray:
    """Logits of images ``start .. stop - 1``, float32 ``(images, members, classes)``."""
    images = torch.from_numpy(np.ascontiguousarray(data.prepared(start, stop).transpose(0, 3, 1, 2)))
    answers = [network.eval()(images.to(device_of(network))).float().cpu().numpy() for network in networks]
    if len({answer.shape for answer in answers}) > 1:
        raise ArgumentError(
            "teachers of an ensemble answer differently",
            found=", ".join(str(answer.shape) for answer in answers),
            expected="equal shapes",
        )
    return np.stack(answers, 1)


def _check_finite(rows: np.ndarray, dtype: str, start: int) -> None:
    if np.isfinite(rows).all():
        return
    row = start + int(np.argmax(~np.isfinite(rows).reshape(len(rows), -1).all(1)))
    raise TrainingError(
        "teacher's logit cannot be kept",
        where=f"image {row}",
        found="a number that is not finite",
        fix="Keep them as F32" if dtype == "F16" else "The teacher is broken: evaluate it first",
    )
