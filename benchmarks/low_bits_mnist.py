"""Powers of two (INQ) and few bits (DoReFa-Net) on LeNet-5: errors before and after fine-tuning, bytes of the file.

    python benchmarks/low_bits_mnist.py --data mnist5k [--epochs 8] [--float-epochs 15] [--out out/low_bits]

Two float networks are trained: LeNet-5 of Caffe, and the same with batch norms and a ReLU behind each layer, since
DoReFa-Net wants activations to round and norms to take up the scale. Each method goes on from the float weights with
Adam at 1e-3 falling on a cosine, batches of 50, no augmentation. INQ: all layers, portions 0.5, 0.75, 0.875, 1 with the
epochs shared between the first three. DoReFa-Net: all layers but the first and the last. Every file is read back; its
error is the engine's. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paring import data, methods, training, zoo
from paring.container import Contents, read, write
from paring.runtime import Engine

SHAPE = (1, 28, 28)
PORTIONS = (0.5, 0.75, 0.875, 1.0)


def normed() -> nn.Sequential:
    """LeNet-5 of Caffe with batch norms and a ReLU behind both convolutions and the first fully connected layer."""
    conv = [nn.Conv2d(1, 20, 5), nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2)]
    conv += [nn.Conv2d(20, 50, 5), nn.BatchNorm2d(50), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*conv, nn.Flatten(), nn.Linear(800, 500), nn.BatchNorm1d(500), nn.ReLU(), nn.Linear(500, 10))


def train(network: nn.Module, source: data.Dataset, epochs: int, seed: int) -> None:
    """Adam, 1e-3 on a cosine, batches of 50."""
    batches = training.Batches(
        source.images,
        source.labels,
        mean=source.preparation.mean,
        std=source.preparation.std,
        size=50,
        seed=seed,
        augment="none",
    )
    optimizer = training.optimizer(network, "adam", lr=1e-3)
    training.fit(network, batches, optimizer, epochs=epochs, schedule="cosine", progress=False)
    network.eval()


def score(network: nn.Module, test: data.Dataset, path: Path) -> tuple[float, float, int]:
    """Torch's error, the engine's on the file, and the file's bytes."""
    images = torch.from_numpy(test.prepared().transpose(0, 3, 1, 2).copy())
    error = training.error_rate(network, images, torch.from_numpy(test.labels.astype("int64")))
    graph = methods.graph_with_forms(network, SHAPE)
    size = write(path, Contents(graph, test.preparation, test.classes, {})).total
    found = read(path).graph
    assert all(found.weights[name].equals(form) for name, form in graph.weights.items())
    right = Engine(found).run(test.prepared()).argmax(1) == test.labels
    return 100 * error, 100 * (1 - float(right.mean())), size


def power_of_two(network: nn.Module, source: data.Dataset, epochs: int, seed: int, bits: int) -> None:
    """INQ, a quarter more at a time; nothing is left to train behind the last portion."""
    parts = len(PORTIONS) - 1
    for step, portion in enumerate(PORTIONS):
        methods.inq(network, {"*": bits}, portion)
        share = epochs // parts + (step < epochs % parts)
        if portion < 1 and share:
            train(network, source, share, seed + step)


def few_bits(
    network: nn.Module, source: data.Dataset, epochs: int, seed: int, weights: int, activations: int, scaled: bool
) -> None:
    """DoReFa-Net; 32 bits of activations leaves them alone."""
    if weights < 32:
        methods.dorefa(network, {"*": weights}, keep_scale=scaled)
    if activations < 32:
        methods.low_bit.quantize_activations(network, activations)
    if epochs:
        train(network, source, epochs, seed)


Method = Callable[..., None]
#: Which float network, name of the row, what is done.
METHODS: list[tuple[str, str, Method]] = [
    ("caffe", "float, tuned on", partial(few_bits, weights=32, activations=32, scaled=False)),
    *[("caffe", f"INQ, {bits} bits", partial(power_of_two, bits=bits)) for bits in (5, 4, 3, 2)],
    ("caffe", "DoReFa, W2", partial(few_bits, weights=2, activations=32, scaled=False)),
    ("caffe", "DoReFa, W2, scale kept", partial(few_bits, weights=2, activations=32, scaled=True)),
    ("caffe", "DoReFa, W1", partial(few_bits, weights=1, activations=32, scaled=False)),
    ("normed", "float, tuned on", partial(few_bits, weights=32, activations=32, scaled=False)),
    *[
        ("normed", f"DoReFa, W{w} A{a}", partial(few_bits, weights=w, activations=a, scaled=False))
        for w, a in ((4, 4), (2, 4), (2, 2), (1, 4), (1, 2), (1, 1))
    ],
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist5k", help="mnist5k or mnist:FOLDER")
    parser.add_argument("--epochs", type=int, default=8, help="of fine-tuning")
    parser.add_argument("--float-epochs", type=int, default=15)
    parser.add_argument("--only", default="*", help="shell pattern on the methods' names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/low_bits"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    source = data.load(asked.data, "train")
    test = data.load(asked.data, "test", preparation=source.preparation)
    print(f"LeNet-5, {asked.data}: {len(source)} training images, {len(test)} test images, {asked.epochs} epochs\n")
    print("| network | method | bytes | float32 / bytes | error before % | error after % | engine % | seconds |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    floats: dict[str, Any] = {}
    for name, make in (("caffe", partial(zoo.create, "lenet_5_caffe")), ("normed", normed)):
        torch.manual_seed(asked.seed)
        network = floats[name] = make()
        train(network, source, asked.float_epochs, asked.seed)
        error, _, size = score(network, test, asked.out / f"{name}.pare")
        print(f"| {name} | float | {size:,} | {_rate(network, size):.1f} | | {error:.2f} | | |", flush=True)
    for number, (name, label, method) in enumerate(METHODS):
        if not fnmatchcase(label, asked.only):
            continue
        path = asked.out / f"{number:02d}.pare"
        raw, tuned = copy.deepcopy(floats[name]), copy.deepcopy(floats[name])
        method(raw, source, 0, asked.seed)
        before = score(raw, test, path)[0]
        began = time.perf_counter()
        method(tuned, source, asked.epochs, asked.seed + 1)
        seconds = time.perf_counter() - began
        error, engine, size = score(tuned, test, path)
        ratio = _rate(floats[name], size)
        print(
            f"| {name} | {label} | {size:,} | {ratio:.1f} | {before:.2f} | {error:.2f} | {engine:.2f} | {seconds:.0f}|",
            flush=True,
        )
    return 0


def _rate(network: nn.Module, size: int) -> float:
    return 4 * sum(p.numel() for p in network.parameters()) / size


if __name__ == "__main__":
    sys.exit(main())
