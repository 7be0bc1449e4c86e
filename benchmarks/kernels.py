"""Every variant of every kernel on the example in the kernel's folder, by turns in one run on one machine.

    python benchmarks/kernels.py [--kernel integer_gemm] [--runs 200]

One example, one thread; median and 10th percentile of the kernel's own step in microseconds.
"""

import argparse
import runpy
from pathlib import Path

import numpy as np

from paring.runtime import Engine
from paring.runtime._engine import VARIANTS

KERNELS = Path(__file__).resolve().parents[1] / "native" / "kernels"


def seconds(engine: Engine, x: np.ndarray) -> float:
    return next(step.seconds for step in engine.profile(x, 1) if step.name == "n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernel", choices=VARIANTS, help="only this one")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    print("| kernel | variant | microseconds |\n|---|---|---|")
    for kernel in [options.kernel] if options.kernel else VARIANTS:
        random = np.random.default_rng(0)
        graph = runpy.run_path(str(KERNELS / kernel / "example.py"))["example"](random)
        x = random.standard_normal((1, *graph.inputs["x"]), np.float32)
        engines = {isa: Engine(graph, isa=isa) for isa in VARIANTS[kernel]}
        times: dict[str, list[float]] = {isa: [] for isa in engines}
        for _ in range(options.runs):
            for isa, engine in engines.items():
                times[isa].append(seconds(engine, x) * 1e6)
        for isa, list_of in times.items():
            print(f"| {kernel} | {isa} | {np.median(list_of):.1f} ({np.percentile(list_of, 10):.1f}) |")


if __name__ == "__main__":
    main()
