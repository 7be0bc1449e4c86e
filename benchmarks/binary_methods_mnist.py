"""Ternary and binary weights by method on LeNet-5: bytes of the file, and errors before and after fine-tuning.

    python benchmarks/binary_methods_mnist.py --data mnist5k [--epochs 10] [--float-epochs 15] [--out out/binary]

One float network (LeNet-5 of Caffe) is trained, then fine-tuned by each method with Adam at 1e-3 falling on a cosine,
batches of 50, no augmentation. Every method is given all layers but the first and the last; TWN, BinaryConnect and BWN
also all layers. Every file is read back, and its error is the engine's, which the table checks against torch's.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paring import data, methods, training, zoo
from paring.container import Contents, read, write
from paring.runtime import Engine

SHAPE = (1, 28, 28)
INNER, ALL = ("conv2", "fc1"), ("conv?", "fc?")
Make = Callable[[nn.Module], Any]

#: Name, what it does to a network, what follows each step.
METHODS: list[tuple[str, Make, Callable[[nn.Module], int] | None]] = [
    ("float, tuned on", lambda n: None, None),
    ("TWN 0.75", lambda n: methods.ternarize(n, dict.fromkeys(INNER, 0.75)), None),
    ("TWN 0.75, all layers", lambda n: methods.ternarize(n, dict.fromkeys(ALL, 0.75)), None),
    (
        "TWN 0.75, by channel",
        lambda n: methods.ternarize(n, dict.fromkeys(INNER, 0.75), per_channel=True),
        None,
    ),
    (
        "BinaryConnect, Glorot",
        lambda n: methods.binary_connect(n, dict.fromkeys(INNER, "glorot")),
        methods.low_bit.clip_weights,
    ),
    (
        "BinaryConnect, Glorot, all layers",
        lambda n: methods.binary_connect(n, dict.fromkeys(ALL, "glorot")),
        methods.low_bit.clip_weights,
    ),
    (
        "BinaryConnect, Glorot, stochastic",
        lambda n: methods.binary_connect(n, dict.fromkeys(INNER, "glorot"), stochastic=True),
        methods.low_bit.clip_weights,
    ),
    (
        "BWN",
        lambda n: methods.binarize_weights(n, dict.fromkeys(INNER, "paper")),
        methods.low_bit.center_and_clip_weights,
    ),
    (
        "BWN, all layers",
        lambda n: methods.binarize_weights(n, dict.fromkeys(ALL, "paper")),
        methods.low_bit.center_and_clip_weights,
    ),
    ("XNOR-Net", lambda n: methods.binarize(n, {"*": "scaled"}, SHAPE), methods.low_bit.center_and_clip_weights),
    (
        "XNOR-Net without K",
        lambda n: methods.binarize(n, {"*": "sign"}, SHAPE),
        methods.low_bit.center_and_clip_weights,
    ),
    ("BNN", lambda n: methods.binarize(n, {"*": "bnn"}, SHAPE), methods.low_bit.clip_weights),
]


def train(
    network: nn.Module, source: data.Dataset, epochs: int, after: Callable[[nn.Module], int] | None, seed: int
) -> None:
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
    after_step = None if after is None else lambda step: after(network)
    training.fit(network, batches, optimizer, epochs=epochs, schedule="cosine", after_step=after_step, progress=False)
    network.eval()


def score(network: nn.Module, test: data.Dataset, path: Path) -> tuple[float, float, int]:
    """Torch's error, the engine's on the file, and the file's bytes."""
    images = torch.from_numpy(test.prepared().transpose(0, 3, 1, 2).copy())
    error = training.error_rate(network, images, torch.from_numpy(test.labels.astype("int64")))
    graph = methods.graph_with_forms(network, SHAPE)
    size = write(path, Contents(graph, test.preparation, test.classes, {})).total
    found = read(path).graph
    assert all(found.weights[name].equals(form) for name, form in graph.weights.items())
    right = Engine(read(path).graph).run(test.prepared()).argmax(1) == test.labels
    return 100 * error, 100 * (1 - float(right.mean())), size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist5k", help="mnist5k or mnist:FOLDER")
    parser.add_argument("--epochs", type=int, default=10, help="of fine-tuning")
    parser.add_argument("--float-epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/binary_methods"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    source = data.load(asked.data, "train")
    test = data.load(asked.data, "test", preparation=source.preparation)
    torch.manual_seed(asked.seed)
    network = zoo.create("lenet_5_caffe")
    train(network, source, asked.float_epochs, None, asked.seed)
    error, _, size = score(network, test, asked.out / "float.pare")
    print(f"LeNet-5, {asked.data}: {len(source)} training images, {len(test)} test images, {asked.epochs} epochs\n")
    print("| method | bytes | float32 / bytes | error before % | error after % | engine % | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    plain = 4 * sum(p.numel() for p in network.parameters())
    print(f"| float | {size:,} | {plain / size:.1f} | | {error:.2f} | | |", flush=True)
    for number, (name, make, after) in enumerate(METHODS):
        changed = copy.deepcopy(network)
        make(changed)
        path = asked.out / f"{number:02d}.pare"
        before = score(changed, test, path)[0]
        began = time.perf_counter()
        train(changed, source, asked.epochs, after, asked.seed + 1)
        seconds = time.perf_counter() - began
        error, engine, size = score(changed, test, path)
        print(
            f"| {name} | {size:,} | {plain / size:.1f} | {before:.2f} | {error:.2f} | {engine:.2f} | {seconds:.0f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
