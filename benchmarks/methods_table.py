"""Every method on a ResNet-20 for CIFAR-10 and on LeNet-5 for MNIST: bytes, MACs, accuracy without and with tuning.

    python benchmarks/methods_table.py ../shared/data                        # both networks, every method
    python benchmarks/methods_table.py ../shared/data --network lenet --only prune share --tune-images 60000

The ResNet-20 is the published checkpoint `weights/resnet20_cifar10.safetensors`; LeNet-5 is trained here first, by the
preset `lenet-mnist`. Every method works on all layers but, where its paper says so, the first and the last. Tuning is
short, a processor's measure (the ResNet's in bfloat16): so many images for so many epochs (`--tune-images`,
`--tune-epochs`) by labels and float network. Accuracies are over the whole test sets, in torch; the file is read back
and must give the same classes in the engine. `without` is the method alone. Rows are kept in RUN/rows.json and not
computed again; a killed run goes on. Movement and gradual pruning prune while they are tuned and have no `without`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from paring import container, data, parametrize, training, zoo
from paring.graph import cost
from paring.recipes import compress
from paring.recipes import steps as s
from paring.recipes.steps._training import tune
from paring.runtime import Engine

CIFAR = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
Stage = list[s.Step]


def both(inner: dict[str, Any], steps: int) -> dict[str, list[Stage]]:
    """Methods of every network, by row; each stage is tuned after, for so many ``steps``.

    ``inner``: patterns on all but the ends.
    """

    def over(amount: Any) -> dict[str, Any]:
        return dict.fromkeys(inner, amount)

    end = 2 * steps // 3  # gradual pruning leaves the rest to settle
    widths = {"*": 4, **dict.fromkeys(ENDS, 8)}
    return {
        "magnitude pruning, 40 % kept": [[s.prune(0.4, together=True, bits=16)]],
        "magnitude pruning, 20 % kept": [[s.prune(0.2, together=True, bits=16)]],
        f"magnitude pruning, 20 % kept, {LABELS}": [[s.prune(0.2, together=True, bits=16)]],
        "Taylor pruning, 20 % kept": [[s.prune(0.2, together=True, score="taylor", bits=16)]],
        "gradual pruning, inner layers to 20 %": [[s.prune_gradually(over(0.2), end=end, bits=16)]],
        "movement pruning, inner layers to 20 %": [[s.prune_gradually(over(0.2), end=end, movement=True, bits=16)]],
        "pruning 2:4": [[s.prune_n_m(over("2:4"), bits=16)]],
        "weight sharing, 16 values": [[s.share({"*": 16})]],
        "Deep Compression: 40 % kept, then 16 values": [
            [s.prune(0.4, together=True, bits=16)],
            [s.share({"*": 16}, bits=16)],
        ],
        "channels cut to half the MACs": [[s.prune_channels(macs=0.5)]],
        "product quantization, by weights": [[s.product_quantize(over([4, 32]), calibrate=0, bits=16)]],
        "product quantization, by answers (Q-CNN)": [[s.product_quantize(over([4, 32]), calibrate=128, bits=16)]],
        "residual codes, two stages of 16": [[s.product_quantize(over([4, 16, 2]), calibrate=128, bits=16)]],
        "hashed to 1/4": [[s.hash(over(0.25), bits=16)]],
        "Tucker-2 and SVD, half the MACs a layer": [[s.factorize(over(0.5), by="macs")]],
        "spatial (Jaderberg 2), half the MACs a layer": [[s.factorize(over(0.5), scheme="spatial", by="macs")]],
        "CP, half the MACs a layer": [[s.factorize(over(0.5), scheme="cp", by="macs")]],
        "int8": [[s.quantize()]],
        "int8, 4-bit weights (GPTQ)": [[s.quantize(weights=widths, rounding="gptq")]],
        "int8, 4-bit weights (AdaRound)": [[s.quantize(weights=widths, rounding="adaround")]],
        f"2-bit weights, 4-bit activations (GPTQ, then {TRAINED})": [
            [
                s.quantize(
                    weights={"*": 2, **dict.fromkeys(ENDS, 8)},
                    activations=4,
                    rounding="gptq",
                    aware=True,
                    norm_delay=0,
                )
            ]
        ],
        "INQ, 5 bits": [[s.inq(5, portion=p)] for p in (0.5, 0.75, 0.875, 1.0)],
        "DoReFa, 4-bit weights": [[s.dorefa(4, keep_scale=True)]],
        "TWN": [[s.ternarize(over(0.75), per_channel=True)]],
        "BinaryConnect": [[s.binary_connect(over("glorot"))]],
        "BWN": [[s.binarize_weights(over("paper"))]],
        "XNOR-Net": [[s.binarize(over("scaled"), exclude_ends=False)]],
        "BNN": [[s.binarize(over("bnn"), exclude_ends=False)]],
    }


ENDS: list[str] = []
#: Words in the names of rows that are tuned otherwise: without a teacher, and in float32 through the rounding.
LABELS, TRAINED = "labels alone", "trained through the rounding"


def subjects(folder: Path, run: Path, which: str) -> tuple[nn.Module, data.Dataset, data.Dataset]:
    if which == "resnet20":
        network = zoo.create("resnet20")
        zoo.load_weights(network, folder / "weights/resnet20_cifar10.safetensors")
        train = data.load(f"parquet:{folder}/cifar10", "train", **CIFAR)
        network.to(memory_format=torch.channels_last)
        return network, train, data.load(f"parquet:{folder}/cifar10", "test", preparation=train.preparation)
    train = data.load(f"mnist:{folder}/mnist", "train")
    test = data.load(f"mnist:{folder}/mnist", "test", preparation=train.preparation)
    settings = training.preset("lenet-mnist").settings
    torch.manual_seed(settings.seed)
    network = zoo.create("lenet_5_caffe")
    batches = training.Batches(
        train.images,
        train.labels,
        mean=train.preparation.mean,
        std=train.preparation.std,
        size=settings.batch,
        seed=settings.seed,
        augment=settings.augment,
    )
    training.run(network, batches, settings, folder=run / "lenet.train", resume=(run / "lenet.train").exists())
    return network, train, test


def part(train: data.Dataset, count: int) -> data.Dataset:
    rows = np.random.default_rng(0).permutation(len(train))[:count]
    return replace(train, images=train.images[rows], labels=train.labels[rows])


def engine_accuracy(path: Path, test: data.Dataset, count: int = 2000) -> np.ndarray:
    return Engine(container.read(path).graph).run(test.prepared(0, count)).argmax(1)


def measure(network: nn.Module, sets: Any, stages: list[Stage], tuning: s.Step | None, run: Path) -> dict[str, Any]:
    """One row: errors of each step, bytes, MACs, seconds of the method and of tuning."""
    fixed = any(step.name == "quantize" and "aware" not in step.options for stage in stages for step in stage)
    tunable = tuning is not None and not fixed
    row: dict[str, Any] = {}
    if len(stages) > 1:
        alone = chain(network, sets, [step for stage in stages for step in stage], run / "alone")
        row["without"] = 1 - alone.steps[-1].stage.test_error
    steps = [step for stage in stages for step in (*stage, *([tuning] if tunable else []))]
    made = chain(network, sets, steps, run / "tuned")
    errors = {one.stage.name: 1 - one.stage.test_error for one in made.steps}
    row.setdefault("without", [e for name, e in errors.items() if not name.startswith("tune")][-1])
    row["with"] = 1 - made.steps[-1].stage.test_error if tunable else None
    row["float"] = errors["float"]
    if stages[0][0].name == "prune-gradually":
        row["without"] = None
    times = [(one.stage.name.startswith("tune"), one.stage.seconds) for one in made.steps[1:]]
    row["seconds"] = sum(t for tuned, t in times if not tuned)
    row["tuning"] = sum(t for tuned, t in times if tuned)
    counted = cost(made.graph)
    row["macs"], row["nonzero"], row["bytes"] = counted.macs, counted.total("nonzero_macs"), made.record.file_bytes
    row["float_bytes"] = made.record.float_bytes
    path = next((run / "tuned").glob("*.pare"))
    x = torch.from_numpy(sets[1].prepared(0, 2000).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        row["agrees"] = float((made.network(x).argmax(1).numpy() == engine_accuracy(path, sets[1])).mean())
    return row


def chain(network: nn.Module, sets: Any, steps: Stage, folder: Path) -> Any:
    there = (folder / "recipe.json").exists()
    return compress(network, sets, folder, steps, resume=there, log=lambda line: None, progress=False)


def table(title: str, rows: Mapping[str, dict[str, Any]], told: str) -> str:
    first = next(iter(rows.values()))
    lines = [
        f"### {title}\n",
        f"Float: {first['float_bytes']:,} bytes of weights, {100 * first['float']:.2f} %. {told}\n",
        "| method | bytes | smaller | MACs, of non-zero weights | without tuning, % | tuned, % "
        "| method, s | tuning, s | engine agrees, % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        without, tuned = ("" if row[key] is None else f"{100 * row[key]:.2f}" for key in ("without", "with"))
        lines.append(
            f"| {name} | {row['bytes']:,} | {row['float_bytes'] / row['bytes']:.1f} "
            f"| {row['macs'] / 1e6:.2f} M, {row['nonzero'] / 1e6:.2f} M "
            f"| {without} | {tuned} | {row['seconds']:.1f} | {row['tuning']:.0f} "
            f"| {100 * row['agrees']:.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with cifar10/, mnist/ and weights/")
    parser.add_argument("--network", choices=("resnet20", "lenet"), nargs="+", default=["lenet", "resnet20"])
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="methods whose name holds a word")
    parser.add_argument("--tune-images", type=int, default=10_000)
    parser.add_argument("--tune-epochs", type=int, default=2)
    parser.add_argument("--test-images", type=int, help="only so many; for trying the script")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", type=Path, default=Path("out/methods"))
    parser.add_argument("--markdown", type=Path, help="write the tables here, too")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    pages = []
    for which in asked.network:
        run = asked.run / which
        run.mkdir(parents=True, exist_ok=True)
        kept = run / "rows.json"
        rows: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
        network, train, test = subjects(asked.data, run, which)
        if asked.test_images:
            test = replace(test, images=test.images[: asked.test_images], labels=test.labels[: asked.test_images])
        sets = (part(train, asked.tune_images), test)
        names = [name.rpartition(".")[0] for name in parametrize.weights(network)]
        ENDS[:] = [names[0], names[-1]]
        faster: dict[str, Any] = {"precision": "bf16", "channels_last": True} if which == "resnet20" else {}
        augment = "cifar" if which == "resnet20" else "none"
        usual: dict[str, Any] = {"epochs": asked.tune_epochs, "lr": 5e-4, "augment": augment}
        steps = asked.tune_epochs * (asked.tune_images // 128)
        listed = both(dict.fromkeys(names[1:-1]), steps)
        for name, stages in listed.items():
            if name in rows or (asked.only and not any(word.lower() in name.lower() for word in asked.only)):
                continue
            folder, began = run / name.replace("/", "-").replace(" ", "_"), time.perf_counter()
            how = usual if TRAINED in name else {**usual, **faster}
            tuning = tune(**how, hard_weight=1.0 if LABELS in name else 0.5) if asked.tune_epochs else None
            rows[name] = measure(network, sets, stages, tuning, folder)
            training.write_atomic(kept, json.dumps(rows, indent=1).encode())
            shutil.rmtree(folder)
            print(f"{which}: {name}: {rows[name]}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        told = (
            f"Tuned for {asked.tune_epochs} epochs of {asked.tune_images:,} training images; accuracies over "
            f"{len(test):,} test images; torch {torch.__version__.partition('+')[0]}, {asked.threads} threads."
        )
        shown = {name: rows[name] for name in listed if name in rows}
        pages.append(table({"resnet20": "ResNet-20, CIFAR-10", "lenet": "LeNet-5, MNIST"}[which], shown, told))
    print("\n\n".join(pages))
    if asked.markdown:
        asked.markdown.write_text("\n\n".join(pages) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
