"""Specialists for a ResNet-20 on CIFAR-10: clusters, and combined accuracy against the generalist's, gain or not.

    PARING_DATA=../shared/data python benchmarks/specialists_cifar10.py
    python benchmarks/specialists_cifar10.py --data ../shared/data --count 3 --overlap 0 --epochs 3

The generalist is the published checkpoint `weights/resnet20_cifar10.safetensors`. Clusters come from its predictions on
the training images, settings are fixed beforehand, and the test images are only used to report. A killed run goes on
when started again with the same arguments.
"""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from paring import data, zoo
from paring.distillation.specialists import (
    active_specialists,
    cluster_classes,
    conditional_accuracy,
    covariance_lines,
    covariance_svg,
    prediction_covariance,
    predictions,
    probabilities,
    train_specialists,
)
from paring.training.input import generator
from paring.training.loop import write_atomic

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLACK = -torch.tensor(MEAN) / torch.tensor(STD)


class CropAndFlip:
    """What the generalist was trained with: four black pixels around, a random crop, every second image mirrored."""

    def __init__(self, source):
        self.source, self.seed = source, source.seed

    def __len__(self):
        return len(self.source)

    def epoch(self, epoch, start=0):
        for step, batch in enumerate(self.source.epoch(epoch, start), start):
            x, draw = batch.images, generator(self.seed, epoch, step, "crop and flip")
            n, _, high, wide = x.shape
            padded = F.pad(x - BLACK.view(1, 3, 1, 1), (4, 4, 4, 4)) + BLACK.view(1, 3, 1, 1)
            top, left = torch.randint(9, (2, n, 1), generator=draw)
            rows, columns = top + torch.arange(high), left + torch.arange(wide)
            mirrored = torch.rand(n, 1, generator=draw) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
            picked = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
            yield batch._replace(images=picked.permute(0, 3, 1, 2).contiguous())


def log(line=""):
    print(line, flush=True)


def percent(share):
    return f"{100 * share:.2f} %"


def covariance_of(network, train, folder, temperature):
    """The covariance over the whole training set, from the folder if a run before left it there."""
    path = folder / f"covariance-{train.digest[:16]}-{temperature:g}.npy"
    if not path.exists():
        np.save(path, prediction_covariance(predictions(network, train, temperature=temperature)))
    return np.load(path)


def report(team, test, names, tops):
    x = torch.from_numpy(test.prepared().transpose(0, 3, 1, 2).copy())
    labels = test.labels
    alone = probabilities(team.generalist, x)
    base = alone.argmax(1).numpy()
    log(f"\nGeneralist: {percent(np.mean(base == labels))} of {len(labels):,} test images.\n")
    log("| specialist | classes | test images | generalist, among these classes | specialist | dustbin correction |")
    log("|---|---|---|---|---|---|")
    for number, member in enumerate(team.members, 1):
        mine = np.isin(labels, member.classes)
        answers = member.probabilities(x[torch.from_numpy(mine)])[:, :-1]
        own = np.asarray(member.classes)[answers.argmax(1).numpy()]
        log(
            f"| {number} | {', '.join(names[c] for c in member.classes)} | {mine.sum():,} "
            f"| {percent(conditional_accuracy(alone, labels, member.classes))} "
            f"| {percent(np.mean(own == labels[mine]))} | {member.correction:+.3f} |"
        )
    log("\n| | accuracy | gain | put right | put wrong | specialists run per image |")
    log("|---|---|---|---|---|---|")
    gains, changes = {}, {}
    for top in tops:
        found = team.answers(x, top=top)
        active = active_specialists(alone, team.classes, top).double().sum(1).mean()
        right, wrong = np.sum((base != labels) & (found == labels)), np.sum((base == labels) & (found != labels))
        changes[top] = int(right), int(wrong)
        gains[top] = np.mean(found == labels) - np.mean(base == labels)
        log(
            f"| top {top} | {percent(np.mean(found == labels))} | {100 * gains[top]:+.2f} points | {right} | {wrong} "
            f"| {float(active):.2f} |"
        )
    plain, (right, wrong) = gains[tops[0]], changes[tops[0]]
    chance = 100 * np.sqrt(right + wrong) / len(labels)  # of a difference of two counts
    word = "Gain" if plain > 0 else "No gain"
    log(
        f"\n{word} with n = {tops[0]}: {100 * plain:+.2f} points; coin tosses would give 0 with deviation {chance:.2f}."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("PARING_DATA"), help="default: PARING_DATA")
    parser.add_argument("--run", default="out/specialists-cifar10", help="run folder")
    parser.add_argument("--count", type=int, default=4, help="specialists")
    parser.add_argument("--overlap", type=int, default=1, help="classes each takes on top of its own")
    parser.add_argument("--temperature", type=float, default=3.0, help="of the predictions that are clustered")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, help="only so many training and test images, to try the script")
    parser.add_argument("--top", type=int, nargs="+", default=[1, 2, 3], help="the paper's n")
    parser.add_argument("--picture", help="write the covariance with its clusters there, as SVG")
    args = parser.parse_args()
    if not args.data:
        parser.error("--data or PARING_DATA must name the folder with cifar10/ and weights/")
    began = time.perf_counter()
    torch.set_num_threads(args.threads)
    folder = Path(args.run)
    folder.mkdir(parents=True, exist_ok=True)
    log(f"`{shlex.join(['python', *sys.argv])}`, torch {torch.__version__}, {args.threads} threads, seed {args.seed}\n")

    network = zoo.create("resnet20").eval()
    zoo.load_weights(network, Path(args.data) / "weights" / "resnet20_cifar10.safetensors")
    where = f"parquet:{Path(args.data) / 'cifar10'}"
    train = data.load(where, "train", mean=MEAN, std=STD, limit=args.limit)
    test = data.load(where, "test", mean=MEAN, std=STD, limit=args.limit)
    log(f"{len(train):,} training and {len(test):,} test images, {time.perf_counter() - began:.0f} s to read")

    covariance = covariance_of(network, train, folder, args.temperature)
    clusters = cluster_classes(covariance, args.count, overlap=args.overlap, seed=args.seed)
    seconds = time.perf_counter() - began
    log(f"clusters of the predictions' covariance, training images, T = {args.temperature:g}, {seconds:.0f} s:\n")
    for line in covariance_lines(covariance, clusters, train.classes):
        log(f"    {line}")
    picture = Path(args.picture) if args.picture else folder / "clusters.svg"
    write_atomic(picture, covariance_svg(covariance, clusters, train.classes).encode())
    log(f"\ndrawn in {picture}; fine-tuning, {args.epochs} epochs each, crops and flips:\n")

    team = train_specialists(
        network,
        train,
        folder,
        classes=clusters,
        epochs=args.epochs,
        lr=args.lr,
        through=CropAndFlip,
        seed=args.seed,
        log=lambda line: log(f"    {line}"),
    )
    report(team, test, train.classes, args.top)
    log(f"\n{time.perf_counter() - began:.0f} s in all.")


if __name__ == "__main__":
    main()
