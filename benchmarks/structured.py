"""Structured pruning: ResNet-20 on CIFAR-10 cut to half its MACs and tuned, and what cuts of three networks are worth.

    python benchmarks/structured.py ../shared/data                  # cut, tune (goes on after a kill), accuracy
    python benchmarks/structured.py ../shared/data --until 3        # no further than the third epoch, for now
    python benchmarks/structured.py ../shared/data --time           # latency, on a quiet machine

The network is the published checkpoint `weights/resnet20_cifar10.safetensors` (91.73 %). First whole residual branches
go, one by one the branch without which the loss on 512 training images is smallest; then channels by their Taylor score
on the same images, until half of the MACs are left. Both are needed: torch spends a third of its time at 32x32 on what
an operator costs however few channels it has, and the engine computes 16 outputs at a time, so that the 16 channels of
the first stage cannot be made cheaper, only fewer layers. What is left is tuned with the answers of the original.

--time sets the engine and torch against themselves, before and after, batch 1, in turns of a chunk each; the median
over chunks of each chunk's median call. torch runs the module rebuilt from the graph, before and after alike: with
batch norms folded, and apart as it is trained. MobileNetV2 and ShuffleNetV2 have random weights, which time
does not depend on; their cut networks' answers in the engine are compared with torch's first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paring import container, data, training, zoo
from paring.capture import capture, rebuild
from paring.distillation import distill
from paring.graph import Graph, cost, fold_scale_shift
from paring.image import Preparation
from paring.methods.channels import prune_branches, prune_channels
from paring.runtime import Engine, info

#: How the published weights want their images.
CIFAR10 = Preparation(32, 32, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SETTINGS = training.Settings(
    epochs=20,
    batch=128,
    lr=0.05,
    nesterov=True,
    weight_decay=1e-4,
    schedule="cosine",
    warmup=100,
    augment="cifar",
    precision="bf16",
    channels_last=True,
)
TEMPERATURE, HARD_WEIGHT = 4.0, 0.1
CALIBRATION = 512
#: At most so many points are lost, and so many times faster at least.
POINTS, SPEEDUP = 1.5, 1.6
CHUNK_SECONDS = 0.05
APART = "torch, batch norms apart"


def original(root: Path) -> torch.nn.Module:
    """The published network."""
    network = zoo.create("resnet20").eval()
    zoo.load_weights(network, root / "weights" / "resnet20_cifar10.safetensors")
    return network


def cut(network: torch.nn.Module, train: data.Dataset, branches: int, keep: float) -> tuple[Any, Any]:
    """The network without branches, and that with fewer channels, at ``keep`` of the MACs."""
    some = np.arange(0, len(train), len(train) // CALIBRATION)[:CALIBRATION]
    images = np.stack([train.prepared(number, number + 1)[0] for number in some])
    batches = [
        training.Batch(*parts)
        for parts in zip(
            torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).split(128),
            torch.from_numpy(train.labels[some].astype(np.int64)).split(128),
            torch.from_numpy(some).split(128),
            strict=True,
        )
    ]
    shallow = prune_branches(network, (3, 32, 32), branches, batches=batches)
    macs = int(keep * shallow.macs[0])
    return shallow, prune_channels(shallow.network, (3, 32, 32), macs=macs, score="taylor", batches=batches)


def accuracy(args: argparse.Namespace) -> bool:
    """Cut, tune, measure; whether the loss of accuracy is small enough. True while epochs are still to do."""
    spec = f"parquet:{args.data / 'cifar10'}/*.parquet"
    train = data.load(spec, "train", preparation=CIFAR10, limit=args.limit)
    test = data.load(spec, "test", preparation=CIFAR10, limit=args.limit)
    score = training.evaluator(test, 500)
    teacher = original(args.data)
    shallow, small = cut(teacher, train, args.branches, args.keep)
    table = small.pruning.table()
    print(f"branches removed: {', '.join(shallow.removed) or 'none'}\n{table}\n", file=sys.stderr)
    key = hashlib.sha256((table + test.digest).encode()).hexdigest()[:8]
    known = args.run / f"before-{key}.json"  # scored once for all calls
    if known.exists():
        whole, bare = json.loads(known.read_text())
    else:
        whole, bare = score(teacher), score(small.network)
        known.write_text(json.dumps([whole, bare]))
    settings = SETTINGS.changed(epochs=args.epochs, lr=args.lr, seed=args.seed)
    batches = training.Batches(
        train.images,
        train.labels,
        mean=CIFAR10.mean,
        std=CIFAR10.std,
        size=settings.batch,
        seed=settings.seed,
        augment=settings.augment,
        channels_last=True,
    )
    folder = args.run / "tuning"
    outcome = distill(
        small.network,
        batches,
        settings,
        [rebuild(capture(teacher, (3, 32, 32))).to(memory_format=torch.channels_last).eval()],
        train,
        folder=folder,
        temperature=TEMPERATURE,
        hard_weight=HARD_WEIGHT,
        identity={"data": train.digest, "cut": hashlib.sha256(table.encode()).hexdigest()[:16]},
        evaluate=score,
        until=args.until,
        resume=bool(training.Checkpoints(folder).paths()),
        about={"network": "resnet20, cut", "data": "CIFAR-10"},
        title="tuning",
        log=partial(print, file=sys.stderr),
    )
    for entry in outcome.history:
        right = 100 * (1 - entry["score"]["error"])
        print(f"epoch {entry['epoch']}: {right:.2f} %, {entry['seconds']:.0f} s", file=sys.stderr)
    graphs = {
        "original": capture(teacher, (3, 32, 32)),
        "cut": capture(small.network, (3, 32, 32)),
        "cut-apart": capture(small.network, (3, 32, 32), fold=False),
    }
    for name, graph in graphs.items():
        contents = container.Contents(graph, preparation=CIFAR10, classes=test.classes)
        container.write(args.run / f"{name}.pare", contents)
    return report(args, test, whole, bare, outcome, settings)


def report(args: argparse.Namespace, test: data.Dataset, whole: Any, bare: Any, outcome: Any, settings: Any) -> bool:
    """The table, with the files' accuracy in the engine."""
    rows = []
    for name in ("original", "cut"):
        path = args.run / f"{name}.pare"
        graph = container.read(path).graph
        engine = Engine(graph, args.threads)
        parts = range(0, len(test.labels), 500)
        answers = np.concatenate([engine.run(test.prepared(k, min(k + 500, len(test.labels)))) for k in parts])
        right = 100 * float((answers.argmax(1) == test.labels).mean())
        counted = cost(graph)
        rows.append((name, counted.macs, counted.parameters, path.stat().st_size, right))
    print("| ResNet-20, CIFAR-10 | MACs | parameters | bytes of the file | before tuning | after | in the engine |")
    print("|---|---|---|---|---|---|---|")
    known = 100 * (1 - whole["error"])
    tuned = 100 * (1 - outcome.score["error"])
    (_, macs, parameters, size, right), (_, fewer, less, smaller, engine_right) = rows
    print(f"| original | {macs:,} | {parameters:,} | {size:,} | {known:.2f} % | | {right:.2f} % |")
    print(
        f"| cut | {fewer:,} ({fewer / macs:.1%}) | {less:,} | {smaller:,} | {100 * (1 - bare['error']):.2f} % "
        f"| {tuned:.2f} % | {engine_right:.2f} % |"
    )
    done = len(outcome.history)
    print(
        f"\n{done} of {settings.epochs} epochs in {outcome.position.seconds:.0f} s on {args.threads} threads, "
        f"{len(test.labels):,} test images, seed {args.seed}."
    )
    if done < settings.epochs:
        print(f"The rest: python {' '.join(sys.argv)}")
        return True
    good = known - tuned <= POINTS
    print(f"{known - tuned:.2f} points lost; limit {POINTS}: {'met' if good else 'MISSED'}.")
    return good


def torch_call(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    def call() -> Any:
        with torch.inference_mode():
            return module(x)

    return call


def take_turns(calls: dict[str, Callable[[], Any]], chunks: int) -> dict[str, float]:
    """Median over chunks of each chunk's median call, in seconds."""
    repeats = {}
    for name, call in calls.items():
        for _ in range(3):
            call()
        start = time.perf_counter()
        call()
        repeats[name] = max(3, min(500, int(CHUNK_SECONDS / max(time.perf_counter() - start, 1e-6))))
    medians: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(chunks):
        for name, call in calls.items():
            seconds = []
            for _ in range(repeats[name]):
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
            medians[name].append(statistics.median(seconds))
    return {name: statistics.median(values) for name, values in medians.items()}


def timed(before: Any, after: Any, side: int, args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Seconds before and after in each way; ``before`` and ``after`` are what :func:`both` gives."""
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    nhwc = np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())
    calls: dict[str, Callable[[], Any]] = {}
    for when, (apart, folded) in (("before", before), ("after", after)):
        engine, module = Engine(folded, args.threads), rebuild(folded).eval()
        with torch.no_grad():
            expected = module(x).numpy()
        np.testing.assert_allclose(engine.run(nhwc), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        calls[f"engine {when}"] = partial(engine.run, nhwc)
        calls[f"torch {when}"] = torch_call(module, x)
        calls[f"{APART} {when}"] = torch_call(apart, x)
    seconds = take_turns(calls, args.chunks)
    ways = ("engine", "torch", APART)
    return {way: (seconds[f"{way} before"], seconds[f"{way} after"]) for way in ways}


def both(apart: Graph) -> tuple[torch.nn.Module, Graph]:
    """A network as it is trained, a module with batch norms, and as it is deployed, a graph without."""
    norms: dict[str, torch.nn.Module] = {}
    for node in apart.nodes:
        if node.op == "scale_shift":
            scale, shift = (torch.from_numpy(apart.weights[node.weights[role]].dense()) for role in ("scale", "shift"))
            norm = torch.nn.BatchNorm2d(len(scale), eps=0.0)
            norm.load_state_dict({"weight": scale, "bias": shift}, strict=False)
            norms[node.name] = norm
    return rebuild(apart, norms).eval(), fold_scale_shift(apart)


def latency(args: argparse.Namespace) -> bool:
    """The table of latencies; whether the targets are met."""
    good = True
    print(f"{info()}; batch 1, {args.threads} threads, milliseconds\n")
    print("| network | MACs | | before | after | faster |\n|---|---|---|---|---|---|")
    for name, side in (("resnet20", 32), ("mobilenet_v2", 224), ("shufflenet_v2_x1_0", 224)):
        torch.manual_seed(0)
        before = capture(zoo.create(name).eval(), (3, side, side), fold=False)
        if name == "resnet20":
            after = container.read(args.run / "cut-apart.pare").graph
        else:
            small = prune_channels(rebuild(before), (3, side, side), macs=0.7)
            after = small.pruning.graph
            if uneven := [row.name for row in small.pruning.layers if row.after % 2]:
                print(f"odd numbers of channels: {', '.join(uneven)}")
                good = False
        share = cost(after).macs / cost(before).macs
        for way, (old, new) in timed(both(before), both(after), side, args).items():
            limit = SPEEDUP if name == "resnet20" else 1.0
            met = old / new >= limit or way == APART
            good &= met
            missed = "" if met else f" MISSED ({limit}x)"
            print(f"| {name} | {share:.1%} | {way} | {1e3 * old:.3f} | {1e3 * new:.3f} | {old / new:.2f}x{missed} |")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with cifar10/ and weights/")
    parser.add_argument("--run", type=Path, default=Path("out/structured"))
    parser.add_argument("--branches", type=int, default=3, help="residual branches to remove")
    parser.add_argument("--keep", type=float, default=0.5, help="share of the MACs that stays")
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--lr", type=float, default=SETTINGS.lr)
    parser.add_argument("--until", type=int, help="stop after so many epochs in all; the same call without it goes on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=int, help="only so many images of each split; to try the script out")
    parser.add_argument("--time", action="store_true", help="measure latency of what an earlier call left")
    parser.add_argument("--chunks", type=int, default=15, help="turns in which latency is measured")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    return int(not (latency(args) if args.time else accuracy(args)))


if __name__ == "__main__":
    sys.exit(main())
