"""Where every value lies: views instead of copies, one arena whose memory is used again and again."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf, prod

from paring.errors import GraphError
from paring.graph import OPS, Graph
from paring.runtime._fuse import Job

#: Most floats per image that the values alive at one time may take together.
MAX_ARENA = 1 << 31

#: Up to so many buffers are placed largest first, which packs best but takes quadratic time.
_MAX_BY_SIZE = 2000

_FULLY_CONNECTED = ("linear", "integer_linear")


@dataclass
class Buffer:
    """Memory for one or more values: ``elements`` per image, alive from step ``first`` to step ``last``."""

    elements: int
    first: int
    place: str = "arena"
    last: int = -1
    #: Floats from the arena's start, or the number of the input or output.
    offset: int = 0
    #: Whether the elements are codes of a byte each, not floats.
    codes: bool = False
    #: The last step that reads a value in it, infinity for an output.
    read: float = -1

    @property
    def size(self) -> int:
        """Floats per image, the last one perhaps not full of codes."""
        return -(-self.elements // 4) if self.codes else self.elements


@dataclass(frozen=True)
class TensorView:
    """One value: a rectangle of channels in a buffer of ``ld`` channels per pixel."""

    buffer: Buffer
    offset: int
    height: int
    width: int
    channels: int
    ld: int

    @property
    def whole(self) -> bool:
        """Whether the value is all there is in its buffer."""
        return self.offset == 0 and self.ld == self.channels

    def flat(self) -> TensorView:
        """The same memory as a vector; the value must be whole."""
        return TensorView(self.buffer, 0, 1, 1, self.height * self.width * self.channels, self.buffer.elements)


@dataclass
class Layout:
    """The result of :func:`lay_out`.

    Attributes:
        jobs: what is left to run; views have no job.
        spots: value name to where it lies.
        copies: ``(from, to)`` spots to be copied at the end, for outputs that are no buffer of their own.
        columns: fully connected nodes whose input stands in HWC order though the graph flattened it as CHW, with the
            map's shape; their weights' columns are to be reordered.
        arena: floats per image.
    """

    jobs: list[Job]
    spots: dict[str, TensorView]
    copies: list[tuple[TensorView, TensorView]]
    columns: dict[str, tuple[int, ...]]
    arena: int
    buffers: list[Buffer] = field(default_factory=list)


def hwc(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Any batch-free shape as height, width, channels."""
    return (1, prod(shape[:-1]), shape[-1]) if len(shape) < 3 else (shape[0], shape[1], shape[2])


def lay_out(graph: Graph, jobs: list[Job]) -> Layout:
    """Place every value of ``jobs``.

    Raises:
        GraphError: if more than MAX_ARENA floats per image are alive at one time.
    """
    return _Planner(graph, jobs).plan()


class _Planner:
    def __init__(self, graph: Graph, jobs: list[Job]) -> None:
        self.graph, self.jobs, self.shapes = graph, jobs, graph.shapes
        self.codes = graph.quant_params
        self.spots: dict[str, TensorView] = {}
        self.buffers: list[Buffer] = []
        self.columns: dict[str, tuple[int, ...]] = {}
        self.readers: dict[str, list[Job]] = {}
        self.last_read: dict[str, float] = {}
        for step, job in enumerate(jobs):
            for name in job.inputs:
                self.readers.setdefault(name, []).append(job)
                self.last_read[name] = step
        for name in graph.outputs:
            self.last_read[name] = inf

    def plan(self) -> Layout:
        for number, name in enumerate(self.graph.inputs):
            self._place(name, self._own(name, -1, "input", number))
        nests = self._nests()
        kept = []
        for step, job in enumerate(self.jobs):
            if self._is_view(job):
                self._touch(job.inputs, step)
                continue
            spot = self.spots.get(job.name)  # a concatenation's first part has made its buffer
            spot = spot or self._nested(job, nests, step) or self._in_place(job, step) or self._own(job.name, step)
            self._place(job.name, spot)
            spot.buffer.last = max(spot.buffer.last, step)
            self._touch(job.inputs, step)
            kept.append(job)
        copies = self._outputs(len(self.jobs))
        arena = self._assign()
        return Layout(kept, self.spots, copies, self.columns, arena, self.buffers)

    def _own(self, name: str, step: int, place: str = "arena", number: int = 0) -> TensorView:
        height, width, channels = hwc(self.shapes[name])
        buffer = Buffer(height * width * channels, step, place, step, number, name in self.codes)
        self.buffers.append(buffer)
        return TensorView(buffer, 0, height, width, channels, channels)

    def _place(self, name: str, spot: TensorView) -> None:
        self.spots[name] = spot
        spot.buffer.read = max(spot.buffer.read, self.last_read.get(name, -1))

    def _touch(self, names: tuple[str, ...], step: int) -> None:
        for name in names:
            self.spots[name].buffer.last = max(self.spots[name].buffer.last, step)

    def _nests(self) -> dict[str, tuple[str, int]]:
        """Value to the concatenation whose buffer it is made in, and its first channel there."""
        made = {job.name: job for job in self.jobs}
        flattened = {name for job in self.jobs if job.node.op == "flatten" for name in job.inputs}
        nests: dict[str, tuple[str, int]] = {}
        for job in self.jobs:
            if job.node.op != "concat":
                continue
            at = 0
            for name in job.inputs:
                # Views and concatenations have a place already; a second place needs a copy.
                movable = name in made and made[name].node.op not in ("concat", "flatten", "slice_channels")
                if movable and name not in flattened and name not in nests and name not in self.graph.outputs:
                    nests[name] = (job.name, at)
                at += self.shapes[name][-1]
        return nests

    def _nested(self, job: Job, nests: dict[str, tuple[str, int]], step: int) -> TensorView | None:
        if job.name not in nests:
            return None
        home, at = nests[job.name]
        if home not in self.spots:
            self._place(home, self._own(home, step))
        outer, (height, width, channels) = self.spots[home], hwc(self.shapes[job.name])
        return TensorView(outer.buffer, at, height, width, channels, outer.ld)

    def _is_view(self, job: Job) -> bool:
        """Place the value of a job that needs no work; False if it does."""
        source = self.spots[job.inputs[0]]
        if job.node.op == "slice_channels":
            start, stop = job.node.attrs["start"], job.node.attrs["stop"]
            assert isinstance(start, int)
            assert isinstance(stop, int)
            at = source.offset + start
            self._place(job.name, TensorView(source.buffer, at, source.height, source.width, stop - start, source.ld))
            return True
        if job.node.op != "flatten" or not source.whole:
            return False
        if job.node.attrs["order"] == "hwc" or source.channels == 1 or source.height * source.width == 1:
            self._place(job.name, source.flat())
            return True
        readers = self.readers.get(job.name, [])
        weights_only = all(
            r.node.op in _FULLY_CONNECTED and r.inputs[0] == job.name and len(r.inputs) == 1 for r in readers
        )
        if not weights_only or job.name in self.graph.outputs:
            return False
        self.columns.update({reader.node.name: hwc(self.shapes[job.inputs[0]]) for reader in readers})
        self._place(job.name, source.flat())
        return True

    def _in_place(self, job: Job, step: int) -> TensorView | None:
        if not OPS[job.node.op].in_place:
            return None
        source = self.spots[job.inputs[0]]
        # Everything that lies in the buffer must have been read for the last time.
        if source.buffer.place != "arena" or not source.whole or source.buffer.read > step:
            return None
        if any(self.spots[name].buffer is source.buffer for name in job.inputs[1:]):
            return None
        height, width, channels = hwc(self.shapes[job.name])
        return TensorView(source.buffer, 0, height, width, channels, channels)

    def _outputs(self, step: int) -> list[tuple[TensorView, TensorView]]:
        copies = []
        for number, name in enumerate(dict.fromkeys(self.graph.outputs)):
            spot = self.spots[name]
            if spot.whole and spot.buffer.place == "arena":
                spot.buffer.place, spot.buffer.offset = "output", number
                continue
            spot.buffer.last = step
            copies.append((spot, self._own(name, step, "output", number)))
        return copies

    def _assign(self) -> int:
        """Offsets for the arena's buffers; floats of the arena, never more than all of them side by side."""
        waiting = [buffer for buffer in self.buffers if buffer.place == "arena"]
        arena = _assign_by_size(waiting) if len(waiting) <= _MAX_BY_SIZE else _assign_by_time(waiting)
        if arena > MAX_ARENA:
            raise GraphError("network needs too much memory", found=f"{arena * 4} bytes per image")
        return _rounded(arena)


def _assign_by_size(buffers: list[Buffer]) -> int:
    """Largest first, each at the lowest place that is free during its life."""
    placed: list[Buffer] = []
    arena = 0
    for buffer in sorted(buffers, key=lambda b: -b.size):
        rivals = [b for b in placed if b.first <= buffer.last and buffer.first <= b.last]
        offset = 0
        for rival in sorted(rivals, key=lambda b: b.offset):
            if offset + buffer.size <= rival.offset:
                break
            offset = max(offset, _rounded(rival.offset + rival.size))
        buffer.offset = offset
        placed.append(buffer)
        arena = max(arena, offset + buffer.size)
    return arena


def _assign_by_time(buffers: list[Buffer]) -> int:
    """In the order in which they are made, each in the smallest gap that holds it: packs worse, but takes the time of a
    sort."""
    alive: list[tuple[int, int, int]] = []  # last step, floats and offset, the first to die in front
    gaps: list[tuple[int, int]] = []  # floats and offset, the smallest in front
    arena = 0
    for buffer in sorted(buffers, key=lambda b: b.first):
        while alive and alive[0][0] < buffer.first:
            _, size, offset = heappop(alive)
            insort(gaps, (size, offset))
        wanted = _rounded(buffer.size)
        found = bisect_left(gaps, (wanted, 0))
        if found < len(gaps):
            size, buffer.offset = gaps.pop(found)
            if size > wanted:
                insort(gaps, (size - wanted, buffer.offset + wanted))
        else:
            buffer.offset, arena = arena, arena + wanted
        heappush(alive, (buffer.last, wanted, buffer.offset))
    return arena


def _rounded(floats: int) -> int:
    return -(-floats // 16) * 16
