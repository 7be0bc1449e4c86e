"""``paring train``: train a network and write a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.cli._networks import check_writable
from paring.cli._options import (
    NET_HELP,
    Data,
    Json,
    Limit,
    Mean,
    Seed,
    Size,
    SkipBad,
    Std,
    Threads,
    Val,
    Weights,
    checked_threads,
    numbers,
    on_bad_image,
)
from paring.cli._output import count, note, percent, print_facts, print_json
from paring.errors import ArgumentError, CheckpointError

if TYPE_CHECKING:
    from paring.cli._workshop import Workshop
    from paring.training import Position


def train(
    net: Annotated[str, typer.Argument(metavar="NET", help=NET_HELP)],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.safetensors", help="The checkpoint to write.")],
    val: Val = None,
    weights: Weights = None,
    epochs: Annotated[int, typer.Option("--epochs", "-e", metavar="N", help="Passes over the training set.")] = 20,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", metavar="N", help="Images per step.")] = 64,
    optimiser: Annotated[str, typer.Option("--optimiser", metavar="NAME", help="adam or sgd.")] = "adam",
    rate: Annotated[float, typer.Option("--rate", metavar="X", help="Learning rate at the start.")] = 1e-3,
    momentum: Annotated[float, typer.Option("--momentum", metavar="X", help="Of sgd.")] = 0.9,
    weight_decay: Annotated[float, typer.Option("--weight-decay", metavar="X", help="L2 penalty.")] = 0.0,
    schedule: Annotated[
        str, typer.Option("--schedule", metavar="NAME", help="Of the rate: cosine, constant, step or inv.")
    ] = "cosine",
    augment: Annotated[
        str, typer.Option("--augment", metavar="NAME", help="Distortion: none, shift, light, medium or strong.")
    ] = "none",
    smoothing: Annotated[float, typer.Option("--smoothing", metavar="X", help="Label smoothing, 0 to 1.")] = 0.0,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command was interrupted, to the same result.")
    ] = False,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    limit: Limit = None,
    skip_bad_images: SkipBad = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train a network from fresh weights (or from --weights) and write a checkpoint that paring compress takes.

    While it runs, its state is kept in FILE.safetensors.partial every minute and on Ctrl-C; --resume goes on from
    there, to the same bits as an uninterrupted run with as many threads.

    Example: [bold]paring train lenet_5_caffe --data mnist5k --epochs 20 --augment light --out lenet.safetensors[/bold]
    """
    from paring.cli._workshop import open_workshop

    check_writable(out, ".safetensors", "--out")
    if epochs < 1:
        raise ArgumentError("impossible number of epochs", where="--epochs", found=epochs, expected="at least 1")
    if not 0 <= smoothing < 1:
        raise ArgumentError("impossible label smoothing", where="--smoothing", found=smoothing, expected="0 to 1")
    threads = checked_threads(threads)
    asked = {
        "size": size,
        "mean": numbers(mean, "--mean"),
        "std": numbers(std, "--std"),
        "limit": limit,
        "on_bad_image": on_bad_image(skip_bad_images),
    }
    shop = open_workshop(net, weights, data, val, asked, seed, threads)
    settings: dict[str, Any] = {
        "net": shop.named.net,
        "data": shop.train.digest,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimiser": optimiser,
        "rate": rate,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "augment": augment,
        "smoothing": smoothing,
        "seed": seed,
    }
    position = _fit(shop, settings, out.with_name(out.name + ".partial"), resume)
    result = _finish(shop, out, position)
    if json:
        print_json(result)
        return
    print_facts(
        {
            "network": f"{net}, {count(result['parameters'])} parameters",
            "data": f"{data}, {count(len(shop.train))} images to train, {count(len(shop.test))} to test",
            "trained": f"{epochs} epochs in {position.seconds:.1f} s, last mean loss {position.last_loss:.4f}",
            "test error": percent(result["error"]),
            "checkpoint": f"{out}, {count(result['bytes'])} bytes",
        }
    )


def _fit(shop: Workshop, settings: dict[str, Any], partial: Path, resume: bool) -> Position:
    """Train, keeping the state in ``partial`` meanwhile."""
    from paring import training

    preparation = shop.train.preparation
    batches = training.Batches(
        shop.train.images,
        shop.train.labels,
        mean=preparation.mean,
        std=preparation.std,
        size=settings["batch_size"],
        seed=settings["seed"],
        augment=settings["augment"],
    )
    named = {key: settings[key] for key in ("rate", "momentum", "weight_decay")}
    optimiser = training.optimiser(shop.module.parameters(), settings["optimiser"], **named)
    position = training.Position()
    if resume:
        position = _restore(partial, settings, shop, optimiser) or position

    def keep(at: Position) -> None:
        tensors = {f"network.{name}": tensor for name, tensor in shop.module.state_dict().items()}
        tensors |= {f"optimiser.{name}": tensor for name, tensor in training.optimiser_tensors(optimiser).items()}
        training.save_checkpoint(partial, tensors, {"settings": settings, "position": _words(at)})

    try:
        training.fit(
            shop.module,
            batches,
            optimiser,
            epochs=settings["epochs"],
            schedule=settings["schedule"],
            loss=training.cross_entropy(settings["smoothing"]),
            position=position,
            save=keep,
            clock=training.Clock(),
        )
    except KeyboardInterrupt:
        if partial.exists():
            note(f"Its state is in {partial}; the same command with --resume goes on.")
        raise
    return position


def _words(position: Position) -> dict[str, Any]:
    """A position as JSON values; a loss nobody has measured yet is null."""
    last = position.last_loss
    return {**vars(position), "last_loss": last if last == last else None}


def _restore(partial: Path, settings: dict[str, Any], shop: Workshop, optimiser: Any) -> Position | None:
    """Put a kept state back; None if there is none."""
    from paring import training

    if not partial.exists():
        note(f"Nothing to go on from ({partial} does not exist); beginning anew.")
        return None
    tensors, words = training.load_checkpoint(partial)
    if changed := training.differences(words.get("settings", {}), settings):
        raise CheckpointError(
            "interrupted run had other settings", where=partial, found="; ".join(changed), fix="Repeat its command"
        )
    parts: dict[str, dict[str, Any]] = {"network": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    shop.module.load_state_dict(parts["network"])
    training.restore_optimiser(optimiser, parts["optimiser"])
    kept = dict(words["position"])
    if kept["last_loss"] is None:
        kept["last_loss"] = float("nan")
    return training.Position(**kept)


def _finish(shop: Workshop, out: Path, position: Position) -> dict[str, Any]:
    """Score the network, write the checkpoint, drop the kept state."""
    from paring.cli._networks import save

    shop.module.eval()
    error = shop.error()
    save(out, shop.module, shop.named, shop.train)
    out.with_name(out.name + ".partial").unlink(missing_ok=True)
    return {
        "network": shop.named.net,
        "parameters": shop.parameters,
        "data": shop.train.name,
        "train_images": len(shop.train),
        "test_images": len(shop.test),
        "epochs": position.epoch,
        "seconds": position.seconds,
        "train_loss": position.last_loss,
        "error": error,
        "checkpoint": str(out),
        "bytes": out.stat().st_size,
    }
