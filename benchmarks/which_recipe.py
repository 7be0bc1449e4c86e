"""Which recipe? One float network, several recipes: bytes, milliseconds, points and seconds of each, as a table.

    python benchmarks/which_recipe.py FOLDER                            # lenet_5_caffe on mnist5k, about three minutes
    python benchmarks/which_recipe.py FOLDER --net resnet20 --weights resnet20.safetensors --data parquet:cifar10

Every row is one ``paring compress``, which reads its file back and scores it over the whole test set in the engine.
The time is the engine's median for one image; torch's for the float network. "points" is accuracy lost: negative where
the small network answers better. "training" is the wall time of all steps of the recipe, the float network's own
training left out. FOLDER keeps the files; a second call makes only those that are missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

#: What a reader looks for, the recipe that gives it, and its options.
ROWS = (
    ("no training", "int8", ()),
    ("no training, smaller", "int8", ("--bits", "4")),
    ("as fast as possible", "slim", ("--epochs", "10")),
    ("ternary weights", "twn", ("--epochs", "10")),
    ("small, sooner", "deep-compression", ("--preset", "quick")),
    ("as small as possible", "deep-compression", ()),
)


def paring(*words: str) -> dict[str, Any]:
    """The JSON document that a command prints."""
    command = [sys.executable, "-m", "paring.cli", *words, "--json"]
    document: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return document


def row(net: str, common: list[str], recipe: str, options: tuple[str, ...], folder: Path) -> dict[str, Any]:
    name = "-".join([recipe, *options]).replace("--", "")
    kept = folder / f"{name}.json"
    if not kept.exists():
        out = folder / f"{name}.pare"
        made = paring("compress", net, *common, "--recipe", recipe, *options, "--out", str(out))
        stages = json.loads(Path(made["record"]).read_text())["stages"]
        made["training"] = sum(stage["seconds"] for stage in stages if stage["name"] not in ("train", "float"))
        kept.write_text(json.dumps(made))
    return json.loads(kept.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--net", default="lenet_5_caffe")
    parser.add_argument("--data", default="mnist5k")
    parser.add_argument("--weights", help="of the float network; without, it is trained first, by default settings")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    common = ["--data", given.data, "--threads", str(given.threads)]
    net = given.net
    if given.weights:
        common += ["--weights", given.weights]
    else:
        net = str(given.folder / "float.safetensors")
        if not Path(net).exists():
            paring("train", given.net, *common, "--out", net)
    print("| you want | recipe | bytes | smaller | median ms | points lost | training, s |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for index, (wish, recipe, options) in enumerate(ROWS):
        made = row(net, common, recipe, options, given.folder)
        if index == 0:
            before = f"{made['float_bytes']:,} | 1.0 x | {made['torch_ms']:.3f} (torch)"
            print(f"| the float network | | {before} | error {100 * made['error_before']:.2f} % | |")
        words = " ".join((f"`{recipe}", *options)) + "`"
        points = 100 * (made["error"] - made["error_before"])
        cells = f"{made['bytes']:,} | {made['ratio']:.1f} x | {made['engine_ms']:.3f} | {points:+.2f}"
        print(f"| {wish} | {words} | {cells} | {made['training']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
