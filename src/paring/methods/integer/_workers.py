"""Images through a network a few at a time, each few on one thread, with several threads side by side.

torch shares one operation among its threads and lets them wait for each other after each, some thousand times a second
with maps as small as a few images'. On a quiet machine that costs little. Where another process keeps a core busy, all
wait for the thread that shares it, and libgomp's threads do so by turning in a loop, which takes the core from the one
they wait for. Threads that have images of their own meet once a layer or once a pass. Pieces are cut by the size of
maps alone, and what comes of them is put together in their order, so that results are the same bits on any number of
threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import prod
from types import TracebackType
from typing import TypeVar

import torch

T = TypeVar("T")

#: Numbers of the largest map of a piece, 4 MiB: it stays in the cache, and the allocator does not return its memory to
#: the system, whose fresh pages cost more than what is computed in them.
_NUMBERS = 1 << 20
#: Most threads; they share one interpreter, which has to start every operation.
_MOST = 16


def pieces(shapes: Mapping[str, tuple[int, ...]], count: int) -> list[slice]:
    """How ``count`` images are cut, given the shape ``(H, W, C)`` or ``(F,)`` of every value for one of them."""
    size = max(1, _NUMBERS // max(prod(shape) for shape in shapes.values()))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


class Workers:
    """As many threads as torch has been given, for each of which torch itself uses one; to be used in a ``with``.

    On one thread there are none, and what is asked is done where it is asked.
    """

    def __init__(self) -> None:
        self._threads = torch.get_num_threads()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(min(self._threads, _MOST), "paring", lambda: torch.set_num_threads(1))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            torch.set_num_threads(self._threads)  # threads that begin later would take over the workers' number

    def each(self, function: Callable[[slice], T], parts: list[slice]) -> list[T]:
        """What the function gives for every piece, in their order, without gradients."""

        def call(part: slice) -> T:
            with torch.no_grad():  # holds for the thread in which it is said
                return function(part)

        return [call(part) for part in parts] if self._pool is None else list(self._pool.map(call, parts))
