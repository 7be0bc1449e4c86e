"""What other processes take of this machine's cores while something is timed."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
#: Columns of a line of ``/proc/stat`` in which a core is idle: idle and waiting for a disk.
_IDLE = (3, 4)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Load:
    """Foreign load from its making on: a snapshot of the cores' counters and of this process's own time."""

    def __init__(self) -> None:
        self._busy, self._own, self._wall = _busy(), time.process_time(), time.perf_counter()

    def foreign(self) -> float | None:
        """Cores that others kept busy since then, on average; ``None`` where the system does not tell."""
        busy, wall = _busy(), time.perf_counter() - self._wall
        if busy is None or self._busy is None or wall <= 0:
            return None
        return max(0.0, busy - self._busy - (time.process_time() - self._own)) / wall


def _busy() -> float | None:
    """Seconds that the cores of this process have been busy since the machine started, those a host took included."""
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        ticks = 0
        for line in _STAT.read_text().splitlines():
            name, *columns = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in mine:
                ticks += sum(int(c) for place, c in enumerate(columns[:8]) if place not in _IDLE)
        return ticks / os.sysconf("SC_CLK_TCK") if ticks else None
    except (OSError, ValueError, AttributeError):
        return None
