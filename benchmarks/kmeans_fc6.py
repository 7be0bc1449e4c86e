"""Seconds and proof of the exact one-dimensional k-means on as many weights as VGG-16's fc6 has.

    python benchmarks/kmeans_fc6.py [WEIGHTS] [K ...]

Clusters WEIGHTS (default 102,760,448, which is 25,088 x 4,096) seeded Gaussian float32 numbers into each K (default 16,
64, 256): seconds, of the clock and of all threads together, cost per weight in units of the variance, how far the
proven lower bound stays below the cost, and the peak memory of the process in multiples of the array; then the seconds
for the symbols of all weights.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from paring.methods.sharing import proven_kmeans
from paring.methods.sharing._exact_kmeans import symbols_between


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    count, ks = (numbers[0] if numbers else 25_088 * 4_096), numbers[1:] or [16, 64, 256]
    weights = np.random.default_rng(6).standard_normal(count, np.float32) * np.float32(0.01)
    print(f"{count:,} weights, {weights.nbytes / 1e6:.0f} MB")
    for k in ks:
        start, worked = time.perf_counter(), time.process_time()
        found = proven_kmeans(weights, k)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        gap = (found.cost - found.bound) / found.cost
        distortion = found.cost / count / 1e-4
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / weights.nbytes
        print(f"k = {k}: {seconds:.1f} s ({worked:.1f} s of processor), distortion {distortion:.6g}", end="")
        print(f", proven within {gap:.1e}, peak {peak:.1f} arrays")
        start = time.perf_counter()
        symbols_between(weights, (found.centroids[1:] + found.centroids[:-1]) / 2)
        print(f"    symbols of all weights: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
