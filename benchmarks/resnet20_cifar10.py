"""ResNet-20 on CIFAR-10 from scratch with the paper's recipe (He et al. 2016, section 4.2): 64,000 steps of 128 images.

    python benchmarks/resnet20_cifar10.py ../shared/data/cifar10                    # to the end: a GPU, or patience
    python benchmarks/resnet20_cifar10.py ../shared/data/cifar10 --epochs 3         # the first epochs, on a CPU
    python benchmarks/resnet20_cifar10.py ../shared/data/cifar10 --resume           # go on, after a kill or --epochs

SGD with momentum 0.9, rate 0.1 divided by ten at 32k and 48k steps, weight decay 1e-4, images padded by 4, cropped and
flipped, all 50,000 to train; the paper reports 8.75 % error. --epochs stops early and leaves the schedule alone, so
that --resume goes on with the same run. Leaves log.jsonl, training.json, report.html and curve.svg in the run folder.
"""

import argparse
import os
import sys
from pathlib import Path

import torch

from paring import data, training, zoo
from paring.record import Training
from paring.report import write_training

#: What must come out at the end of the whole training.
ACCURACY = 0.9125


def draw(run: Path) -> None:
    """Loss and test error by epoch as a picture of its own."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "paring", "svg.fonttype": "none"})
    from matplotlib import pyplot

    history = Training.load(run).history
    epochs = [entry["epoch"] for entry in history]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(epochs, [entry["train_loss"] for entry in history], label="training", color="#8b937d", marker=".")
    left.plot(epochs, [entry["score"]["loss"] for entry in history], label="test", color="#4d7c0f", marker=".")
    left.set(xlabel="epoch", ylabel="mean loss")
    left.legend(frameon=False)
    right.plot(epochs, [100 * entry["score"]["error"] for entry in history], color="#4d7c0f", marker=".")
    right.set(xlabel="epoch", ylabel="test error, %")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
    figure.savefig(run / "curve.svg", metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", help="folder with the Parquet files")
    parser.add_argument("--run", type=Path, default=Path("out/resnet20_cifar10"))
    parser.add_argument("--epochs", type=int, help="stop after so many epochs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=int, help="only so many images of each split; to try the script out")
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args()
    world = training.join(asked.device)
    torch.set_num_threads(asked.threads)
    train = data.load(f"parquet:{asked.cifar10}/*.parquet", "train", limit=asked.limit)
    test = data.load(f"parquet:{asked.cifar10}/*.parquet", "test", limit=asked.limit, preparation=train.preparation)
    settings = training.preset("resnet-cifar10").settings.changed(seed=asked.seed, channels_last=True)
    torch.manual_seed(asked.seed)
    network = zoo.create("resnet20")
    batches = training.Batches(
        train.images,
        train.labels,
        mean=train.preparation.mean,
        std=train.preparation.std,
        size=settings.batch,
        seed=settings.seed,
        augment=settings.augment,
        channels_last=True,
    )
    outcome = training.run(
        network,
        batches,
        settings,
        folder=asked.run,
        evaluate=training.evaluator(test, 1000),
        identity={"data": train.digest},
        about={
            "network": "resnet20",
            "data": f"CIFAR-10, {len(train):,} images",
            "test set": "CIFAR-10",
            "test images": len(test),
            "preset": "resnet-cifar10",
        },
        world=world,
        title="ResNet-20 on CIFAR-10",
        resume=asked.resume,
        until=asked.epochs,
    )
    if not world.main:
        return 0
    write_training(asked.run / "report.html", asked.run)
    draw(asked.run)
    print("| epoch | training loss | test accuracy | seconds |\n|---|---|---|---|")
    for entry in outcome.history:
        right = 100 * (1 - entry["score"]["error"])
        print(f"| {entry['epoch']} | {entry['train_loss']:.4f} | {right:.2f} % | {entry['seconds']:.0f} |")
    accuracy, whole = 1 - outcome.score["error"], outcome.steps == settings.steps
    print(f"\n{100 * accuracy:.2f} % after {outcome.steps:,} of {settings.steps:,} steps on {world.device}")
    if not whole:
        print(f"The rest: python {sys.argv[0]} {asked.cifar10} --run {asked.run} --resume")
        return 0
    print("MISSED" if accuracy < ACCURACY else "met", f": at least {100 * ACCURACY} %")
    return int(accuracy < ACCURACY)


if __name__ == "__main__":
    sys.exit(main())
