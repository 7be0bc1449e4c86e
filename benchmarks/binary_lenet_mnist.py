"""Binary LeNet-5 on MNIST: binary weights, signs, signs with K, and both weight gradients, trained alike.

    python benchmarks/binary_lenet_mnist.py --mnist FOLDER_OF_IDX_FILES [--epochs 5] [--seeds 1]

Adam, one cycle up to 4e-3, batches of 100, no augmentation; `center_and_clip` before every step. Prints the test
accuracy after the last epoch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

from paring import zoo
from paring.data import read_idx
from paring.layers import BinaryConv2d, center_and_clip

VARIANTS = [("bwn_lenet_5", "paper"), ("bwn_lenet_5", "released")]
VARIANTS += [("xnor_net_lenet_5", "paper"), ("xnor_net_lenet_5", "released")]


def digits(folder: Path, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(read_idx(folder / f"{name}-images-idx3-ubyte.gz", 3).copy())
    labels = torch.from_numpy(read_idx(folder / f"{name}-labels-idx1-ubyte.gz", 1).copy())
    return (images.view(-1, 1, 28, 28) / 255 - 0.1307) / 0.3081, labels.long()


def train(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * (len(images) // 100))
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(100):
            center_and_clip(network)
            optimizer.zero_grad()
            F.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    center_and_clip(network)


@torch.inference_mode()
def accuracy(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    network.eval()
    right = sum(
        int((network(x).argmax(1) == y).sum()) for x, y in zip(images.split(500), labels.split(500), strict=True)
    )
    return 100 * right / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mnist", type=Path, required=True, help="folder of the four IDX files, gzip")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train_set, test_set = digits(arguments.mnist, "train"), digits(arguments.mnist, "t10k")
    print(f"{'network':18} {'inputs':8} {'gradient':9} test accuracy %, {arguments.epochs} epochs", flush=True)
    for name, gradient in VARIANTS:
        for inputs in ["real"] if name.startswith("bwn") else ["sign", "scaled"]:
            scores = []
            for seed in range(arguments.seeds):
                torch.manual_seed(seed)
                network = zoo.create(name, inputs=inputs)
                for layer in network.modules():
                    if isinstance(layer, BinaryConv2d):
                        layer.gradient = gradient
                train(network, *train_set, arguments.epochs)
                scores.append(accuracy(network, *test_set))
            print(f"{name:18} {inputs:8} {gradient:9} {'  '.join(f'{score:.2f}' for score in scores)}", flush=True)


if __name__ == "__main__":
    main()
