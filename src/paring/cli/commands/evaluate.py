"""``paring eval``: the error of a file or a network over a named set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from paring.cli.measure._scoring import Score, check_classes, in_engine, in_torch, score
from paring.cli.options._common import (
    NET_HELP,
    Data,
    Json,
    Limit,
    NoLimits,
    OnBadImage,
    Output,
    Threads,
    Weights,
    checked_threads,
    limits,
)
from paring.cli.options._pictures import picture_options, said
from paring.cli.render._output import count, note, note_bad, percent, print_facts, print_json, print_table, threads_text
from paring.errors import ArgumentError, FormatError

if TYPE_CHECKING:
    pass


@picture_options
def evaluate(
    net: Annotated[
        str, typer.Argument(metavar="FILE.pare|NET", help=f"A .pare file (no PyTorch needed), or: {NET_HELP}")
    ],
    data: Data,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="train, test or all.")] = "test",
    weights: Weights = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="One row per class as well.")] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", metavar="N", help="How many images to compute at once.")
    ] = 64,
    output: Output = "",
    threads: Threads = None,
    limit: Limit = None,
    pictures: dict[str, Any] | None = None,
    on_bad_image: OnBadImage = "stop",
    no_limits: NoLimits = False,
    json: Json = False,
) -> None:
    """Measure the error of a network over a data set: the share of images whose class is not their label.

    A .pare file prepares the images as it was trained to, and runs in Paring's own engine. Anything else runs in
    PyTorch.

    Examples: [bold]paring eval lenet.pare --data mnist5k[/bold]

    [bold]paring eval resnet20 -w resnet20.safetensors --data 'parquet:cifar10/*.parquet' --mean 0.485,0.456,0.406 --std
    0.229,0.224,0.225[/bold]
    """
    threads = checked_threads(threads)
    pictures = pictures or {}
    loading: dict[str, Any] = {"limit": limit, "on_bad_image": on_bad_image}
    if net.endswith(".pare"):
        if weights is not None or said(pictures):
            raise ArgumentError("a .pare file brings its own weights and preparation", where=net)
        most = limits(no_limits)
        options = {"threads": threads, "limits": most, "output": output}
        result, found, engine = _file(Path(net), data, split, loading, batch_size, pictures["classes"], options)
    else:
        if output:
            raise ArgumentError("only a .pare file says what its answers are", where=net, found=f"--output {output}")
        result, found, engine = _network(net, weights, data, split, loading | pictures, batch_size, threads)
    note_bad(result.bad)
    classes = _per_class(found, result.classes)
    if json:
        document: dict[str, Any] = {
            "network": net,
            "data": result.name,
            "split": result.split,
            "images": len(result),
            "skipped": result.skipped,
            "wrong": found.wrong,
            "error": found.error,
            "top5_error": found.top(5) if len(result.classes) > 5 else None,
            "seconds": found.seconds,
            "engine": engine,
        }
        if per_class:
            document["classes"] = [{"class": n, "images": i, "wrong": w} for n, i, w in classes]
        print_json(document)
        return
    if per_class:
        rows = [(name, count(n), count(wrong), percent(wrong / n if n else None)) for name, n, wrong in classes]
        total = ("all", count(len(result)), count(found.wrong), percent(found.error))
        print_table(("class", "images", "wrong", "error"), rows, total=total)
        return
    skipped = f", {result.skipped} skipped" if result.skipped else ""
    facts = {
        "network": net,
        "data": f"{result.name} {result.split}, {count(len(result))} images{skipped}",
        "wrong": count(found.wrong),
        "error": percent(found.error),
        "top-5 error": percent(found.top(5)) if len(result.classes) > 5 else "",
        "ran in": f"{engine}, {found.seconds:.2f} s",
    }
    print_facts(facts)


def _file(
    path: Path,
    spec: str,
    split: str,
    loading: dict[str, Any],
    batch_size: int,
    names: tuple[str, ...],
    options: dict[str, Any],
) -> Any:
    """A `.pare` file in the engine: (data, score, what it ran in)."""
    from paring import data, runtime

    model = runtime.load(path, **options)
    if model.preparation is None:
        raise FormatError("file does not say how to prepare an image", where=path)
    samples = data.load(spec, split, preparation=model.preparation, **loading)
    answers = model.output_shape[-1] if model.output_shape else 0
    known = names or model.classes or (tuple(map(str, range(answers))) if data.numbered(samples.classes) else ())
    if known and len(known) == answers and (names or len(samples.classes) < answers):
        samples = data.aligned(samples, known, bool(names))
    check_classes(path, model, samples)
    return samples, score(in_engine(model), samples, batch_size, "evaluating"), describe_engine(options["threads"])


def _network(
    net: str, weights: Path | None, spec: str, split: str, loading: dict[str, Any], batch_size: int, threads: int
) -> Any:
    """A network in torch: (data, score, what it ran in)."""
    from paring import networks
    from paring.cli.inputs._networks import opened

    names, strict = loading.pop("classes"), loading.pop("strict")
    named = networks.find(net, weights, strict)
    if named.weights is None and not named.own_weights:
        note("The network has fresh weights and guesses; give a checkpoint, or --weights FILE.")
    import torch

    torch.set_num_threads(threads)
    samples, module = opened(named, spec, split, loading, names)
    where = f"torch {torch.__version__}, float32, {threads_text(threads)}"
    return samples, score(in_torch(module), samples, batch_size, "evaluating"), where


def describe_engine(threads: int) -> str:
    """The engine in words: instruction set and threads."""
    from paring import runtime

    return f"native engine, {runtime.info()['isa']}, {threads_text(threads)}"


def _per_class(found: Score, classes: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """(class, images, wrong) for each class."""
    images = np.bincount(found.labels, minlength=len(classes))
    wrong = np.bincount(found.labels[found.predicted != found.labels], minlength=len(classes))
    return [(name, int(i), int(w)) for name, i, w in zip(classes, images, wrong, strict=True)]
