"""The processes that train together: one by default, N where torchrun or accelerate launch started this one.

The engine is Hugging Face Accelerate over ``torch.distributed``: it opens the process group (gloo on processors, NCCL
on GPUs), gives every process its device and wraps the network. It is imported only where there is more than one
process, or where a tracker is asked for.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import nn

from paring.errors import ArgumentError, ParingError, TrainingError

#: Seconds after which a process that waits for the others gives up.
TIMEOUT = 600.0
#: What gloo and NCCL say of a process that does not answer.
_GONE = ("gloo", "closed by peer", "reset by peer", "NCCL", "Timed out waiting")

_T = TypeVar("_T")


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        device: where this process computes.
        rank: its number, from 0.
        size: how many processes there are.
        accelerator: Accelerate's object; None in a world of one without trackers.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    accelerator: Any = None

    @property
    def main(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the processes, in float64; every process must call it."""
        if self.size == 1:
            return list(values)
        device = self.device if torch.distributed.get_backend() == "nccl" else "cpu"
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    def shared(self, value: Any) -> Any:
        """The first process's ``value`` in every process; every process must call it."""
        if self.size == 1:
            return value
        held = [value]
        torch.distributed.broadcast_object_list(held, src=0)
        return held[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every process's ``value``, in their order, in every process; every process must call it."""
        if self.size == 1:
            return [value]
        held: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(held, value)
        return held

    def agreed(self, work: Callable[[], _T]) -> _T:
        """What ``work`` gives in this process, once it went well in all of them; every process must call it.

        Raises:
            ParingError: in every process, that of the first one whose ``work`` raised one.
        """
        found: Any = None
        trouble: ParingError | None = None
        try:
            found = work()
        except ParingError as error:
            trouble = error
        first = next((error for error in self.gathered(trouble) if error is not None), None)
        if first is not None:
            raise first
        return found

    def wrapped(self, module: nn.Module) -> nn.Module:
        """``module`` with its gradients averaged over the processes after every backward pass."""
        if self.size == 1 or not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        return self.accelerator.prepare_model(module)


@contextmanager
def together(world: World, where: Callable[[], str]) -> Iterator[None]:
    """What the backend says when another process is gone, in words.

    Args:
        world: the processes.
        where: says how far the work is.

    Raises:
        TrainingError: instead of the backend's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if world.size == 1 or not any(word in str(error) for word in _GONE):
            raise
        if threading.current_thread() is threading.main_thread():
            # The launcher, which has noticed too, ends this process any moment; what happened is to be said first.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TrainingError(
            "another process of this job is gone",
            where=f"{where()}, process {world.rank} of {world.size}",
            found=" ".join(str(error).split())[:160],
            fix="The launcher says which one and why; the same command with --resume goes on from the last checkpoint",
        ) from None


def device(name: str | None = None) -> torch.device:
    """The device of that name; by default a GPU if there is one, else the processor.

    Raises:
        ArgumentError: if this machine has no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArgumentError("no such device here", found=name, expected=str(error).splitlines()[0]) from None
    return found


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters are; the processor for one that has none."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def launched() -> int:
    """How many processes a launcher started this one among; 1 if none did."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(name: str | None = None, *, timeout: float = TIMEOUT, tracker: str = "", folder: object = None) -> World:
    """Take this process's place among those that were started with it.

    Args:
        name: device; None for the best there is. With several processes on GPUs, each takes its own.
        timeout: seconds after which waiting for the others is an error.
        tracker: name of one of Accelerate's trackers (``tensorboard``), or empty.
        folder: where the tracker writes.

    Raises:
        ArgumentError: if there is no such device or tracker.
        ParingError: if Accelerate is needed and missing, or the tracker's package is.
    """
    if launched() == 1 and not tracker:
        return World(device(name))
    plain = device(name)
    if tracker:
        _check_tracker(tracker)
    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
    except ModuleNotFoundError as error:
        raise ParingError(
            "several processes and trackers need accelerate", fix="Install it with: pip install 'paring[torch]'"
        ) from error
    # Unused parameters are looked for because a network may have a branch that the loss does not reach. Statistics
    # are synchronized by SyncBatchNorm, so buffers are alike everywhere and need no broadcast.
    handlers = [
        InitProcessGroupKwargs(timeout=timedelta(seconds=timeout)),
        DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False),
    ]
    if launched() > 1:
        # Its functions keep the default group there is at their import. The wrapper around the network imports them:
        # they would hold the group until the interpreter is torn down.
        import_module("torch.distributed.nn.functional")
    more = {"log_with": tracker, "project_dir": str(folder)} if tracker else {}
    accelerator = Accelerator(cpu=plain.type == "cpu", kwargs_handlers=handlers, **more)
    # An index on --device would put every process on one GPU, so each takes the one of its launcher.
    place = accelerator.device if accelerator.num_processes > 1 else plain
    if accelerator.num_processes > 1:
        atexit.register(_leave, accelerator)
    return World(place, accelerator.process_index, accelerator.num_processes, accelerator)


def _leave(accelerator: Any) -> None:
    """Let go of the group while the interpreter is whole.

    gloo's threads own the tensors of the last exchange for a moment longer than Python does, and need the interpreter
    to free them. A thread that asks for it once it is being torn down aborts the process, whose work is done. Only the
    end of the last reference to the group waits for its threads; destroy_process_group drops one of them.
    """
    accelerator.free_memory()  # it holds the wrapped networks, and they the group
    gc.collect()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_tracker(name: str) -> None:
    try:
        from accelerate.tracking import get_available_trackers
        from accelerate.utils import LoggerType
    except ModuleNotFoundError:
        return  # said next, of all that needs accelerate
    known = [kind.value for kind in LoggerType if kind != LoggerType.ALL]
    if name not in known:
        raise ArgumentError("unknown tracker", found=repr(name), expected=" or ".join(known))
    if name not in [kind.value for kind in get_available_trackers()]:
        raise ParingError("tracker is not installed", where=name, fix=f"Install it with: pip install {name}")
