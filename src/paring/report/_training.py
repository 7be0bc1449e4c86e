"""The page about a training run: curves, epochs, settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paring
from paring.record import Training
from paring.report._curves import Curve, plot
from paring.report._html import count, name, percent, seconds, significant, text
from paring.report._page import document, write_page
from paring.report._parts import figure, folded, legend, section, table


def write_training(path: str | os.PathLike[str], run: str | os.PathLike[str]) -> Path:
    """Write the page about the training run in folder ``run``, whole or not at all.

    Raises:
        CheckpointError: if the folder holds no record of a training run.
        OutputError: if the page cannot be written.
    """
    return write_page(path, render_training(Training.load(Path(run))))


def render_training(run: Training) -> str:
    """The page about a training run, as for :func:`paring.report.render`."""
    parts = (
        ("curves", "Curves", _curves(run)),
        ("epochs", "Epochs", _epochs(run)),
        ("settings", "Settings", _settings(run)),
    )
    links = [(key, title) for key, title, _ in parts]
    footer = "Errors are over the set named; times are wall time, interruptions left out."
    return document(run.title, _top(run), links, "".join(body for *_, body in parts), footer, paring.__version__)


def _top(run: Training) -> str:
    last: Mapping[str, Any] = run.history[-1] if run.history else {}
    score = last.get("score", {})
    tiles = []
    if "error" in score:
        errors = [(entry["score"]["error"], entry["epoch"]) for entry in run.history if "error" in entry["score"]]
        best, epoch = min(errors)
        images = run.about.get("test images")
        over = f"{count(images)} images of {run.about.get('test set', '')}" if images else "the test set"
        note = f"best {percent(best)} after epoch {epoch}"
        tiles.append(_tile("Test error", percent(score["error"]), note, f"Measured on {over}."))
    if last.get("train_loss") is not None:
        first = run.history[0]["train_loss"]
        note = f"{significant(first)} in the first epoch" if first is not None else ""
        tiles.append(_tile("Training loss", significant(last["train_loss"]), note, "Mean over the last epoch."))
    if last:
        speed = f"{count(round(last['images_per_second']))} images a second"
        shared = f"{run.processes} processes" if run.processes > 1 else "one process"
        tiles.append(_tile("Time", seconds(last["seconds"]), speed, f"Wall time of {last['step']:,} steps, {shared}."))
    state = "" if run.done else " It has not come to its end."
    trained = f"{last['epoch']} epochs" if last else "No epoch yet"
    data = f" on {run.about['data']}" if run.about.get("data") else ""
    return (
        f'<header><p class="brand">Paring training report</p><h1>{name(run.title)}</h1>'
        f'<p class="verdict">{text(f"{trained}{data}.{state}")}</p><div class="tiles">{"".join(tiles)}</div></header>'
    )


def _tile(title: str, value: str, note: str, source: str) -> str:
    lines = f'<p class="value">{text(value)}</p><p>{text(note)}</p><p class="source">{text(source)}</p>'
    return f'<div class="tile"><h2>{text(title)}</h2>{lines}</div>'


def _curves(run: Training) -> str:
    if not run.history:
        return section("curves", "Curves", "", '<p class="absent">No curves: no epoch has come to its end.</p>')
    x = [_passes(run, entry) for entry in run.history]

    def line(kind: str, label: str, values: Sequence[float | None]) -> Curve:
        return Curve(kind, label, list(zip(x, values, strict=True)))

    train = line("before", "training", [entry["train_loss"] for entry in run.history])
    test = line("after", "test", [entry["score"].get("loss") for entry in run.history])
    bodies = ["<h3>Loss</h3>", _figure("loss", [train, test], "Mean loss by epoch", significant)]
    errors = line("after", "test", [entry["score"].get("error") for entry in run.history])
    if any(y is not None for _, y in errors.points):
        bodies += ["<h3>Test error</h3>", _figure("error", [errors], "Test error by epoch", _percent)]
    rates = line("after", "lr", [entry["lr"] for entry in run.history])
    bodies += ["<h3>Learning rate</h3>", _figure("lr", [rates], "Learning rate at each epoch's end", significant)]
    lead = "One point for each epoch. The training loss is that of the loss function with everything it holds."
    return section("curves", "Curves", text(lead), *bodies)


def _percent(value: float) -> str:
    return f"{100 * value:.4g}\u00a0%"


def _passes(run: Training, entry: Mapping[str, Any]) -> float:
    """Passes over the data when an entry was made; the last one may be in the middle of an epoch."""
    whole = run.history[0]["step"] if run.history[0]["epoch"] == 1 else 0
    return min(entry["step"] / whole, entry["epoch"]) if whole and len(run.history) > 1 else float(entry["epoch"])


def _figure(kind: str, curves: Sequence[Curve], label: str, show: Any) -> str:
    drawn = [curve for curve in curves if any(y is not None for _, y in curve.points)]
    key = legend(*((curve.kind, curve.label) for curve in drawn)) if len(drawn) > 1 else ""
    return figure(kind, key + plot(drawn, label, "epoch", show), f"{label}.")


def _epochs(run: Training) -> str:
    scores = list(dict.fromkeys(key for entry in run.history for key in entry["score"]))
    heads = ["Epoch", "#Steps", "#Training loss", *(f"#Test {key.replace('_', ' ')}" for key in scores)]
    heads += ["#Rate", "#Images/s", "#Time"]

    def shown(key: str, value: float | None) -> str:
        if value is None:
            return "–"
        return percent(value) if key.startswith("error") else significant(value)

    rows = [
        [
            text(entry["epoch"]),
            count(entry["step"]),
            shown("loss", entry["train_loss"]),
            *(shown(key, entry["score"].get(key)) for key in scores),
            significant(entry["lr"]),
            count(round(entry["images_per_second"])),
            seconds(entry["seconds"]),
        ]
        for entry in run.history
    ]
    body = table("Loss, scores, rate and time by epoch.", heads, rows, css="plain")
    return section("epochs", "Epoch by epoch", "", folded(f"All {len(rows)} epochs", body, len(rows)))


def _settings(run: Training) -> str:
    cards = []
    for title, values in (("The run", run.about), ("Settings", run.settings)):
        told = {key: value for key, value in values.items() if value not in (None, "", [], {}) and key != "command"}
        lines = "".join(f"<dt>{text(key.replace('_', ' '))}</dt><dd>{name(value)}</dd>" for key, value in told.items())
        cards += [f'<div class="card"><h3>{title}</h3><dl>{lines}</dl></div>'] if lines else []
    command = run.about.get("command")
    typed = f'<h3>The command</h3><pre tabindex="0"><code>{text(command)}</code></pre>' if command else ""
    return section("settings", "What made it", "", f'<div class="cards">{"".join(cards)}</div>{typed}')
