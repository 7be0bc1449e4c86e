"""Wall time of ``paring cost NET`` in a fresh process, torch's import included; the promise is 2 seconds.

    python benchmarks/cost_time.py [NAME...]

Prints one line per network, slowest last: median of three runs, and the share that is ``import torch``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 3


def seconds(code: str) -> float:
    """Median wall time of a Python process."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Time every network named, or all of the zoo."""
    from paring import zoo

    names = sys.argv[1:] or zoo.list()
    torch = seconds("import torch")
    print(f"import torch alone: {torch:.2f} s")
    found = sorted((seconds(f"from paring.cli import main; main(['cost', {name!r}])"), name) for name in names)
    for total, name in found:
        print(f"{total:6.2f} s  {name}")
    late = [name for total, name in found if total >= 2]
    print(f"{len(found)} networks, slowest {found[-1][0]:.2f} s; 2 s or more: {', '.join(late) or 'none'}")


if __name__ == "__main__":
    main()
