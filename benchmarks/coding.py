"""Bytes and seconds of the adaptive coder against its alternatives, on pruned and shared weights.

    python benchmarks/coding.py [FILE.pare ...]

Without arguments: LeNet-300-100 and LeNet-5, pruned to Deep Compression's rates and harder and shared by k-means here,
on the embedded digits or, with PARING_DATA set, on MNIST; with PARING_DATA also ResNet-20 (CIFAR-10), rounded to a grid
and pruned, without retraining. With arguments: every codebook of the files. All coders get the same symbols.

Columns, bytes of all indices together (codebooks not counted, they are the same for all):
    entropy   order-0 empirical entropy layer by layer, a bound for every coder without contexts
    huffman   canonical Huffman codes with their tables
    paper     Deep Compression: relative indices with fillers, Huffman coded
    zlib, bz2, xz   of the indices as bytes, the whole network at once, best level
    plain     a plain context coder as in DeepCABAC: adaptive bits, contexts from the two weights before, no mixing
    nncodec   NNCodec's own arithmetic coder, layer by layer, the best of its settings; only where nncodec is installed
    paring    ours
"""

from __future__ import annotations

import bz2
import lzma
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from paring.coding import adaptive, huffman, relative

#: Indices, alphabet, negatives of each layer.
Layers = list[tuple[np.ndarray, int, int]]


def entropy(layers: Layers) -> float:
    total = 0.0
    for values, alphabet, _ in layers:
        shares = np.bincount(values.ravel(), minlength=alphabet) / values.size
        total -= float((shares[shares > 0] * np.log2(shares[shares > 0])).sum()) * values.size / 8
    return total


def packed(layers: Layers) -> bytes:
    return b"".join(values.astype(np.uint8 if alphabet <= 256 else "<u2").tobytes() for values, alphabet, _ in layers)


def xz(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}])


def signed(values: np.ndarray, negatives: int) -> np.ndarray:
    """Ranks with their sign: -2, -1, 0, 1, 2 ..."""
    values = values.astype(np.int32)
    return np.where(values == 0, 0, np.where(values <= negatives, values - negatives - 1, values - negatives))


def plain(layers: Layers) -> float:
    """Bytes of an ideal arithmetic coder behind DeepCABAC-like binarization and contexts.

    Zero flag and sign by the two weights before, ten greater-than flags, then Exp-Golomb; two rates for each bit.
    """
    bits = 0.0
    for values, _, negatives in layers:
        table: dict[tuple[int, ...], list[float]] = {}

        def cost(bit: int, *context: int, table: dict[tuple[int, ...], list[float]] = table) -> float:
            fast, slow = state = table.setdefault(context, [0.5, 0.5])
            p = (fast + slow) / 2
            state[0] += (bit - fast) / 16
            state[1] += (bit - slow) / 128
            return -math.log2(p if bit else 1 - p)

        before = earlier = 0
        for value in signed(values, negatives).ravel().tolist():
            around = (before != 0) + (earlier != 0)
            bits += cost(int(value != 0), 0, around)
            if value:
                bits += cost(int(value < 0), 1, (before > 0) - (before < 0))
                rank = abs(value)
                for flag in range(1, min(rank, 10) + 1):
                    bits += cost(int(rank > flag), 2, flag, int(value < 0))
                if rank > 10:
                    length = (rank - 10).bit_length()
                    bits += sum(cost(int(i < length), 3, i) for i in range(1, length + 1)) + length - 1
            before, earlier = value, before
    return bits / 8


def nncodec(layers: Layers) -> int | None:
    """Bytes of NNCodec's coder (nncodec on PyPI), the best of its settings for each layer; None if not installed."""
    try:
        from nncodec.extensions import deepCABAC
        from nncodec.nnc_core.hdsp.hdsp_tool import HDSP_OPTS_OFF
    except ImportError:
        return None

    def size(ranks: np.ndarray, tuned: int, profile: int, skip: int) -> int:
        encoder = deepCABAC.Encoder()
        encoder.initCtxModels(11, tuned)
        dead = np.array([int(not row.any()) for row in ranks], np.int32)
        encoder.encodeLayer(ranks, 0, 0, profile, 0, skip, dead, *HDSP_OPTS_OFF(), 0, 0)
        return len(encoder.finish().tobytes())

    settings = [(tuned, profile, skip) for tuned in (0, 1) for profile in (0, 1) for skip in range(profile + 1)]
    return sum(min(size(signed(values, neg), *how) for how in settings) for values, _, neg in layers)


def ours(layers: Layers) -> bytes:
    encoder = adaptive.Encoder()
    for values, alphabet, negatives in layers:
        encoder.symbols(values, alphabet, negatives)
    return encoder.finish()


def decoded(data: bytes, layers: Layers) -> list[np.ndarray]:
    decoder = adaptive.Decoder(data)
    out = [decoder.symbols(values.shape, alphabet, negatives) for values, alphabet, negatives in layers]
    decoder.finish()
    return out


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Median wall time."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[runs // 2]


def shared(weight: np.ndarray, clusters: int) -> tuple[np.ndarray, int, int]:
    """Linear initialization, then Lloyd's k-means over the non-zero weights."""
    nonzero = np.sort(weight[weight != 0])
    book = np.linspace(nonzero[0], nonzero[-1], min(clusters, len(nonzero)))
    for _ in range(60):
        nearest = np.searchsorted((book[1:] + book[:-1]) / 2, nonzero)
        counts = np.bincount(nearest, minlength=len(book))
        book = np.sort(np.where(counts, np.bincount(nearest, nonzero, len(book)) / np.maximum(counts, 1), book))
    nearest = np.searchsorted((book[1:] + book[:-1]) / 2, weight)
    used = np.unique(nearest[weight != 0])
    symbols = np.where(weight != 0, np.searchsorted(used, nearest) + 1, 0)
    return symbols, len(used) + 1, int((book[used] < 0).sum())


def pruned_lenet(name: str, kept: tuple[float, ...], clusters: tuple[int, ...]) -> Layers:
    """A LeNet trained with gradual magnitude pruning (Zhu and Gupta 2017) and shared layer by layer."""
    import torch
    from torch.nn import functional as F

    from paring import zoo
    from paring.data import load

    where = os.environ.get("PARING_DATA")
    data = load(f"mnist:{where}/mnist" if where else "mnist5k", "train")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = zoo.create(name)
    weights = [p for p in network.parameters() if p.ndim > 1]
    images = torch.from_numpy(data.prepared()).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(data.labels)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    steps = 3000 if where else 1500
    for step in range(steps):
        batch = torch.randint(len(labels), (128,))
        loss = F.cross_entropy(network(images[batch]), labels[batch]) + 5e-5 * sum((w * w).sum() for w in weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress = min(1.0, max(0.0, (step / steps - 0.15) / 0.55))
        with torch.no_grad():
            for weight, share in zip(weights, kept, strict=True):
                zeros = int((1 - share) * (1 - (1 - progress) ** 3) * weight.numel())
                if zeros:
                    weight[weight.abs() <= weight.abs().flatten().kthvalue(zeros).values] = 0
    return [shared(w.detach().numpy(), k) for w, k in zip(weights, clusters, strict=True)]


def resnet20(where: str) -> Iterator[tuple[str, Layers]]:
    from safetensors.numpy import load_file

    weights = [w for w in load_file(f"{where}/weights/resnet20_cifar10.safetensors").values() if w.ndim > 1]
    for step in (0.25, 0.67):
        layers = []
        for weight in weights:
            grid = np.rint(weight / (step * np.sqrt((weight**2).mean()))).astype(int)
            used = np.unique(grid[grid != 0])
            symbols = np.where(grid != 0, np.searchsorted(used, grid) + 1, 0)
            layers.append((symbols, len(used) + 1, int((used < 0).sum())))
        yield f"ResNet-20, grid of {step} sigma", layers
    least = np.quantile(np.concatenate([np.abs(w).ravel() / w.std() for w in weights]), 0.65)
    yield "ResNet-20, 35 % kept", [shared(np.where(np.abs(w) > least * w.std(), w, 0), 15) for w in weights]


def networks() -> Iterator[tuple[str, Layers]]:
    if len(sys.argv) > 1:
        from paring.container import read
        from paring.forms import Codebook

        for path in sys.argv[1:]:
            forms = [form for form in read(path).graph.weights.values() if isinstance(form, Codebook)]
            yield path, [(f.indices, len(f.centroids) + 1, int((f.centroids < 0).sum())) for f in forms]
        return
    yield "LeNet-300-100, 8 % kept", pruned_lenet("lenet_300_100", (0.08, 0.09, 0.26), (64, 64, 64))
    yield "LeNet-300-100, 2.5 %", pruned_lenet("lenet_300_100", (0.025, 0.05, 0.25), (15, 15, 15))
    yield "LeNet-5, 8 % kept", pruned_lenet("lenet_5_caffe", (0.66, 0.12, 0.08, 0.19), (256, 256, 32, 32))
    yield "LeNet-5, 1.4 %", pruned_lenet("lenet_5_caffe", (0.4, 0.05, 0.01, 0.1), (31, 31, 15, 15))
    if where := os.environ.get("PARING_DATA"):
        yield from resnet20(where)


def main() -> None:
    """Print one line for each network."""
    names = ("entropy", "huffman", "paper", "zlib", "bz2", "xz", "plain", "nncodec", "paring")
    print(f"{'network':<32}{'weights':>9}" + "".join(f"{name:>9}" for name in names) + "   enc ms   dec ms")
    for name, layers in networks():
        data, code = packed(layers), ours(layers)
        for (values, _, _), back in zip(layers, decoded(code, layers), strict=True):
            assert np.array_equal(values, back)
        sizes = [
            round(entropy(layers)),
            sum(len(huffman.encode(values, alphabet)) for values, alphabet, _ in layers),
            sum(len(relative.encode(values, alphabet)) for values, alphabet, _ in layers),
            len(zlib.compress(data, 9)),
            len(bz2.compress(data, 9)),
            len(xz(data)),
            round(plain(layers)),
            nncodec(layers),
            len(code),
        ]
        times = [1000 * seconds(work) for work in (lambda: ours(layers), lambda: decoded(code, layers))]  # noqa: B023
        weights = sum(values.size for values, _, _ in layers)
        cells = "".join(f"{'-' if size is None else format(size, ','):>9}" for size in sizes)
        print(f"{name:<32}{weights:>9,}{cells}{times[0]:>9.1f}{times[1]:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
