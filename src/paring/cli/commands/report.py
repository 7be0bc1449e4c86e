"""``paring report``: the one-page report of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from paring.cli.inputs._networks import check_writable
from paring.cli.options._common import Json, Limit, NoLimits, OnBadImage, Threads, checked_threads, limits
from paring.cli.render._output import log, note, print_json


def report(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.pare", help="The file the page is about, or the run folder of [bold]paring train[/bold]."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PAGE.html", help="The page. [dim]Default: beside FILE.[/dim]")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", "-r", metavar="DIR", help="Run folder of [bold]paring compress[/bold]: stages, histograms before."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="SPEC", help="Measure the error of the file on this test set.")
    ] = None,
    time: Annotated[bool, typer.Option("--time/--no-time", help="Time the engine, whole and layer by layer.")] = True,
    threads: Threads = None,
    limit: Limit = None,
    on_bad_image: OnBadImage = "stop",
    no_limits: NoLimits = False,
    json: Json = False,
) -> None:
    """Make the report of a .pare file, or of a training run: one self-contained HTML page.

    It shows bytes by layer and section before and after, histograms of the weights with their centroids, errors, time
    by layer, and the commands that made the file. Needs no PyTorch.

    Example: [bold]paring report lenet.pare --run runs/lenet --data mnist5k[/bold]
    """
    from paring import runtime
    from paring.cli.measure import _latency as _measure
    from paring.record import Record
    from paring.report import NodeTime, Timing, write, write_training

    page = out or file.with_suffix(".html")
    check_writable(page, ".html", "--out")
    if file.is_dir():
        write_training(page, file)
        _say(page, json)
        return
    threads = checked_threads(threads)
    model = runtime.load(file, threads=threads, limits=limits(no_limits))
    record = Record.load(run) if run is not None else None
    accuracy, source = None, ""
    timings: list[Timing] = []
    profile: list[NodeTime] = []
    if data is not None:
        loading: dict[str, object] = {"limit": limit, "on_bad_image": on_bad_image}
        accuracy = _measure.accuracy(model, file, data, loading, record)
    if time:
        image = np.zeros((1, *model.input_shape), np.float32)
        program = _measure.Program(lambda: model(image), threads)
        try:
            timings = [_measure.engine_timing(_measure.alternate({"the engine": program}, seconds=1.0)["the engine"])]
        except _measure.NotMeasurableError as error:
            note(f"latency is not measurable now: {error}")
        profile, source = _measure.profile(model)
    write(page, file, record, run=run, accuracy=accuracy, timings=timings, profile=profile, profile_source=source)
    _say(page, json)


def _say(page: Path, json: bool) -> None:
    if json:
        print_json({"report": str(page), "bytes": page.stat().st_size})
    else:
        log(f"Report: {page}")
