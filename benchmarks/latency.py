"""Latency of the native engine beside torch eager and ONNX Runtime, in one run on one machine.

    python benchmarks/latency.py [NETWORK...] [--batch 1 64] [--threads 1 2] [--chunks 15] [--profile] [--limits]

Networks are names of the zoo; default lenet_300_100 and lenet_5_caffe. Weights are random: time does not depend on
their values. The pruned variant keeps, layer by layer, the share of weights that Deep Compression (arXiv 1510.00149)
keeps, at random places, with as many shared values as there; a layer of a network the paper does not have keeps 20 %,
with 256 shared values in convolutions and 32 elsewhere. torch and ONNX Runtime compute pruned networks as dense ones,
so they run once. ``--limits`` times nothing: it prints what each layer has to compute and to read, and the time that
this needs at the rates below.

The engines take turns: a chunk of calls each, round after round. What is printed is the median over chunks of each
chunk's median call, and the fastest chunk's in brackets, in microseconds.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

#: Share of weights kept and number of shared values, layer by layer.
KEPT = {
    "lenet_300_100": ((0.08, 64), (0.09, 64), (0.26, 64)),
    "lenet_5_caffe": ((0.66, 256), (0.12, 256), (0.08, 32), (0.19, 32)),
}
KEPT_ELSEWHERE = 0.2
#: Rates of one core, measured in registers or the cache (docs/reference/engine.md): operations and bytes per second.
FLOPS, L1, L2, L3 = 245e9, 470e9, 235e9, 107e9
L2_BYTES = 1 << 20
CHUNK_SECONDS = 0.05


def pruned(graph, name):
    """The graph with its layers' weights pruned and shared."""
    from paring.forms import Codebook
    from paring.graph import Graph

    random = np.random.default_rng(0)
    weights = dict(graph.weights)
    layers = [node for node in graph.nodes if node.op in ("conv2d", "linear")]
    elsewhere = [(KEPT_ELSEWHERE, 256 if node.op == "conv2d" else 32) for node in layers]
    for node, (kept, shared) in zip(layers, KEPT.get(name, elsewhere), strict=True):
        dense = graph.weights[node.weights["weight"]].dense()
        book = np.sort(random.standard_normal(shared)).astype(np.float32) * dense.std()
        indices = np.where(random.random(dense.shape) < kept, random.integers(1, shared + 1, dense.shape), 0)
        weights[node.weights["weight"]] = Codebook(book, indices)
    return Graph(dict(graph.inputs), list(graph.nodes), graph.outputs, weights)


def torch_call(module, x) -> Callable[[], object]:
    import torch

    inputs = torch.from_numpy(np.moveaxis(x, -1, 1).copy())

    def call():
        with torch.inference_mode():
            return module(inputs)

    return call


def onnx_call(module, x, threads) -> Callable[[], object] | None:
    """None if ONNX Runtime is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return None
    import torch

    inputs, file = np.ascontiguousarray(np.moveaxis(x, -1, 1)), io.BytesIO()
    torch.onnx.export(module, (torch.from_numpy(inputs),), file, input_names=["x"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": inputs})


def agreement(calls: dict[str, Callable[[], object]]) -> None:
    """The engine's dense answers are the others', or nothing is timed."""
    answers = {name: np.asarray(call()[0] if name == "ONNX Runtime" else call()) for name, call in calls.items()}
    reference = answers.pop("torch eager")
    for name, answer in answers.items():
        if "pruned" not in name:
            np.testing.assert_allclose(answer, reference, rtol=1e-3, atol=1e-3 * np.abs(reference).max(), err_msg=name)


def take_turns(calls: dict[str, Callable[[], object]], chunks: int) -> dict[str, list[float]]:
    """Engine to the median call of each of its chunks, in seconds."""
    repeats = {}
    for name, call in calls.items():
        for _ in range(3):
            call()
        start = time.perf_counter()
        call()
        repeats[name] = max(5, min(2000, int(CHUNK_SECONDS / max(time.perf_counter() - start, 1e-6))))
    medians: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(chunks):
        for name, call in calls.items():
            seconds = []
            for _ in range(repeats[name]):
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
            medians[name].append(statistics.median(seconds))
    return medians


def limits(name: str) -> None:
    """What one example needs, dense and pruned: a multiply-accumulate counts as two operations."""
    import torch

    from paring import capture, zoo

    card = zoo.card(name)
    graph = capture.capture(zoo.create(name).eval(), torch.zeros(1, card.channels, *card.resolution))
    thin, shapes = pruned(graph, name), graph.shapes
    print(f"\n{name}, one example\n  layer      MACs dense  weights B  limit us | kept MACs  entries B  limit us")
    for node in graph.nodes:
        if node.op not in ("conv2d", "linear"):
            continue
        form = thin.weights[node.weights["weight"]]
        positions = int(np.prod(shapes[node.name][:-1]))
        macs, size, kept = form.size * positions, form.size * 4, form.nonzeros * positions
        dense = max(2 * macs / FLOPS, size / (L2 if size < L2_BYTES else L3))
        # Each multiply-accumulate of a sparse layer reads its input anew; an entry is a place and a value.
        entries = form.nonzeros * (4 if node.op == "linear" else 5)
        sparse = max(kept * 4 / L1, 2 * kept / FLOPS, entries / (L2 if entries < L2_BYTES else L3))
        print(
            f"  {node.name:10} {macs:10,} {size:10,} {dense * 1e6:9.2f} | {kept:9,} {entries:10,} {sparse * 1e6:9.2f}"
        )


def measure(name: str, batch: int, threads: int, chunks: int, profile: bool) -> None:
    import torch

    from paring import capture, zoo
    from paring.runtime import Engine

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    module = zoo.create(name).eval()
    card = zoo.card(name)
    height, width = card.resolution
    x = np.random.default_rng(1).standard_normal((batch, height, width, card.channels)).astype(np.float32)
    graph = capture.capture(module, torch.zeros(1, card.channels, height, width))
    engines = {
        "paring dense": Engine(graph, threads),
        "paring pruned": Engine(pruned(graph, name), threads),
    }
    calls = {"torch eager": torch_call(module, x)}
    onnx = onnx_call(module, x, threads)
    if onnx is not None:
        calls["ONNX Runtime"] = onnx
    for label, engine in engines.items():
        calls[label] = lambda engine=engine: engine.run(x)
    agreement(calls)
    print(f"\n{name}, batch {batch}, {threads} thread{'s' if threads > 1 else ''}", flush=True)
    for label, chunk in take_turns(calls, chunks).items():
        print(f"  {label:14} {statistics.median(chunk) * 1e6:10.1f} ({min(chunk) * 1e6:.1f})", flush=True)
    if onnx is None:
        print("  ONNX Runtime   not installed: pip install 'paring[onnx]'")
    if profile:
        for label, engine in engines.items():
            for step in engine.profile(x, 200):
                print(
                    f"    {label:14} {step.name:16} {step.kernel:18} {step.seconds * 1e6:9.2f} us {step.weight_bytes:9}"
                )


def main() -> None:
    from paring.runtime import info

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["lenet_300_100", "lenet_5_caffe"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--chunks", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="time of every step of the engine")
    parser.add_argument("--limits", action="store_true", help="print what each layer needs; time nothing")
    arguments = parser.parse_args()
    if arguments.limits:
        for name in arguments.networks:
            limits(name)
        return
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{info()}, {os.cpu_count()} processors{load}; microseconds per call, median of chunks (fastest chunk)")
    for name in arguments.networks:
        for threads in arguments.threads:
            for batch in arguments.batch:
                measure(name, batch, threads, arguments.chunks, arguments.profile)


if __name__ == "__main__":
    sys.exit(main())
