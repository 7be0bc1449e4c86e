"""``paring run``: classify image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paring.cli.options._common import Json, NoLimits, Output, Threads, checked_threads, limits
from paring.cli.render._output import print_json, print_table
from paring.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from paring.runtime import Model


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE.pare", help="The network.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files: PNG, JPEG, WebP, ...")],
    top: Annotated[int, typer.Option("--top", "-k", metavar="N", help="How many classes to show.")] = 5,
    output: Output = "",
    threads: Threads = None,
    no_limits: NoLimits = False,
    json: Json = False,
) -> None:
    """Classify images with a .pare file: the likeliest classes of each, with their probability.

    Of a network that answers with other numbers than classes, the numbers.

    Images are prepared as the network was trained; needs no PyTorch, only Pillow to open them.

    Example: [bold]paring run lenet.pare seven.png two.jpg --top 3[/bold]
    """
    from paring import runtime

    if top < 1:
        raise ArgumentError("invalid number of classes to show", where="--top", found=top, expected="at least 1")
    for image in images:
        if image.is_dir():  # a model takes all of its pictures, but there is a row of answers for one only
            raise DataError("is a folder", where=image, expected="an image file", fix=f"Give its files: {image}/*")
    model = runtime.load(file, threads=checked_threads(threads), limits=limits(no_limits), output=output)
    if model.output == "regression":
        _numbers(model, images, json)
        return
    results = [(image, model.classify(str(image), top)[0]) for image in images]
    if json:
        document = [
            {"image": str(image), "classes": [{"class": name, "probability": p} for name, p in best]}
            for image, best in results
        ]
        print_json(document)
        return
    rows = []
    for image, best in results:
        for rank, (name, probability) in enumerate(best):
            rows.append((str(image) if rank == 0 else "", name, f"{100 * probability:.2f} %"))
    print_table(("image", "class", "probability"), rows, left=2)


def _numbers(model: Model, images: list[Path], json: bool) -> None:
    """What a regression answers, as it is."""
    results = [(str(image), [float(number) for number in model(str(image))[0]]) for image in images]
    if json:
        print_json([{"image": image, "numbers": numbers} for image, numbers in results])
        return
    rows = [
        (image if place == 0 else "", model.class_name(place), f"{number:.6g}")
        for image, numbers in results
        for place, number in enumerate(numbers)
    ]
    print_table(("image", "output", "number"), rows, left=2)
