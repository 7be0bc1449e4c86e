"""Few bits, after training and through training: ResNet-20 on CIFAR-10, all layers, judged in the engine.

    python benchmarks/qat.py ../shared/data [--steps 390] [--bits 2x4 3x3 4x4] [--threads 2]

Starts from `weights/resnet20_cifar10.safetensors`. 512 training images calibrate; weights are rounded by GPTQ. Then the
same integers are trained: batches of 128 images, padded, cropped and flipped, Adam, the rate falling to zero along a
cosine, scales learned, batch norms frozen from the start (--norm-delay: after so many steps). Every network is run by
the engine on all 10,000 test images; the simulation's answers are compared on the first 500.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from paring import data, training, zoo
from paring.capture import capture, norm_statistics, rebuild
from paring.graph import Graph, fold_scale_shift
from paring.methods.integer import quantize
from paring.methods.integer.qat import quantization_aware
from paring.runtime import Engine

CIFAR = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def scores(graph: Graph, images: np.ndarray, threads: int) -> np.ndarray:
    engine = Engine(graph, threads)
    return np.concatenate([engine.run(images[i : i + 100]) for i in range(0, len(images), 100)])


def agreement(graph: Graph, images: np.ndarray, answers: np.ndarray) -> float:
    """Share of the images to which the simulation in torch gives the engine's class."""
    with torch.no_grad():
        found = rebuild(graph)(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return float((found.argmax(1) == answers.argmax(1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with cifar10/ and weights/")
    parser.add_argument("--bits", nargs="+", default=["4x4", "3x3", "2x4", "2x2"], metavar="WxA")
    parser.add_argument("--steps", type=int, default=390)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--norm-delay", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--test", type=int, default=10_000, help="test images; fewer to try the script out")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    network = zoo.create("resnet20").eval()
    zoo.load_weights(network, asked.data / "weights/resnet20_cifar10.safetensors")
    train = data.load(f"parquet:{asked.data / 'cifar10'}", "train", **CIFAR)
    test = data.load(f"parquet:{asked.data / 'cifar10'}", "test", preparation=train.preparation, limit=asked.test)
    unfolded = capture(network, (3, 32, 32), fold=False)
    graph, norms = fold_scale_shift(unfolded), norm_statistics(network, unfolded)
    picked = np.linspace(0, len(train) - 1, 512).astype(int)
    images = torch.from_numpy(np.concatenate([train.prepared(i, i + 1) for i in picked]).transpose(0, 3, 1, 2).copy())
    x = test.prepared()
    base = float((scores(graph, x, asked.threads).argmax(1) == test.labels).mean())
    print(f"Float {100 * base:.2f} %; {asked.steps} steps of 128 images; torch {torch.__version__}\n")
    print("| weights x activations, bits | after training, % | trained, % | seconds | simulation agrees, % |")
    print("|---|---:|---:|---:|---:|")
    batches = training.Batches(
        train.images, train.labels, mean=CIFAR["mean"], std=CIFAR["std"], size=128, seed=0, augment="cifar"
    )
    for pair in asked.bits:
        weights, activations = map(int, pair.split("x"))
        made = quantize(
            graph,
            images,
            weights=weights,
            activations=activations,
            norms=norms,
            rounding="gptq" if weights < 6 else "nearest",
            tuning_images=256,
        )
        before = float((scores(made.graph, x, asked.threads).argmax(1) == test.labels).mean())
        aware = quantization_aware(made, norm_delay=asked.norm_delay)
        optimizer = torch.optim.Adam([p for p in aware.parameters() if p.requires_grad], asked.lr)
        epochs, began = -(-asked.steps // len(batches)), time.perf_counter()
        training.fit(aware, batches, optimizer, epochs=epochs, steps=asked.steps, schedule="cosine", progress=False)
        seconds = time.perf_counter() - began
        trained = aware.eval().as_graph()
        found = scores(trained, x, asked.threads)
        after, same = float((found.argmax(1) == test.labels).mean()), agreement(trained, x[:500], found[:500])
        print(
            f"| {weights} x {activations} | {100 * before:.2f} | {100 * after:.2f} | {seconds:.0f} "
            f"| {100 * same:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
