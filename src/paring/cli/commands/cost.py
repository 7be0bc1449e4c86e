"""``paring cost``: what networks cost, before anything is trained."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.cli.options._common import Json
from paring.cli.render._output import count, log, note, print_facts, print_json, print_table
from paring.errors import ArgumentError, GraphError

#: Rows up to which a table is set by rich.
_LONG = 300
#: No side, width multiplier or number of channels is larger; far larger ones overflow torch's shapes.
_LARGEST = 16384

if TYPE_CHECKING:
    from paring.graph import Cost, Row
    from paring.zoo import Card


@dataclass(frozen=True)
class Costed:
    """A network with its cost.

    Attributes:
        name: as the user named it.
        cost: per layer.
        input: (height, width, channels); empty if the file has several inputs.
        published: the zoo's card, if nothing was changed.
        partial: why there is no graph, so that activations are unknown; empty if there is one.
    """

    name: str
    cost: Cost
    input: tuple[int, ...]
    published: Card | None = None
    partial: str = ""


def cost(
    nets: Annotated[
        list[str],
        typer.Argument(
            metavar="NET...",
            help="Names from the zoo, .pare files, or your own networks as path/to/file.py:function (run as Python).",
        ),
    ],
    compare: Annotated[
        bool, typer.Option("--compare", help="One row per network instead of one per layer; the default for several.")
    ] = False,
    width: Annotated[
        float | None, typer.Option("--width", metavar="X", help="Width multiplier, for families that have one.")
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(
            "--resolution",
            metavar="PIXELS|RATIO",
            help="Height and width of the input: pixels (160), or with a point a ratio of the network's own (0.714).",
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option("--channels", metavar="N", help="Channels of the input. [dim]Default: the network's, or 3.[/dim]"),
    ] = None,
    all_nodes: Annotated[bool, typer.Option("--all", help="Also the operations without weights.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the zoo's accuracy against MACs and parameters (png, svg)."),
    ] = None,
    json: Json = False,
) -> None:
    """Show parameters, multiply-accumulates, activations, peak memory and bytes of networks, per layer or compared.

    Nothing is trained or run: weights stay uninitialized. Of a .pare file the bytes of every form are counted too.

    Example: [bold]paring cost mobilenet_v2 --width 0.5 --resolution 160[/bold]

    Example: [bold]paring cost mobilenet_v1 --width 0.75 --resolution 0.714[/bold]

    Example: [bold]paring cost --compare resnet18 mobilenet_v2 squeezenet1_1 --plot zoo.png[/bold]
    """
    if plot is not None and plot.suffix not in (".png", ".svg", ".pdf"):
        raise ArgumentError(
            "plot has an unknown ending", where="--plot", found=plot.name, expected=".png, .svg or .pdf"
        )
    collecting = gc.isenabled()
    gc.disable()  # much is allocated and nothing freed: a third of the time on deep networks
    try:
        found = [_cost_of(net, width, _resolution(resolution), channels) for net in nets]
    finally:
        if collecting:
            gc.enable()
    for one in found:
        _remark(one)
    if json:
        print_json([_as_json(one) for one in found])
    elif compare or len(found) > 1:
        _compare(found)
    else:
        _table(found[0], all_nodes)
    if plot is not None:
        from paring.cli.render._plot import plot_zoo

        plot_zoo(plot, [one.name for one in found])
        note(f"drawn: {plot}")


def _resolution(text: str | None) -> int | float | None:
    """Pixels as an int, a ratio as a float."""
    if text is None:
        return None
    try:
        found = float(text) if "." in text else int(text)
    except ValueError:
        found = 0
    if not 0 < found < 2**31:
        raise ArgumentError(
            "no resolution", where="--resolution", found=text, expected="pixels (160) or a ratio with a point (0.714)"
        )
    return found


def _cost_of(net: str, width: float | None, resolution: float | None, channels: int | None) -> Costed:
    if net.endswith(".pare"):
        return _of_file(net, width, resolution, channels)
    for option, number in (("--width", width), ("--channels", channels)):
        if number is not None and not 0 < number <= _LARGEST:
            raise ArgumentError("invalid number", where=option, found=number, expected=f"above 0, at most {_LARGEST}")
    from paring.capture import outline, tally, without_initialization
    from paring.graph import cost as cost_of

    with without_initialization():
        module, shape, card = (
            _own(net, resolution, channels) if _is_own(net) else _zoo(net, width, resolution, channels)
        )
    if _is_own(net) and width is not None:
        raise ArgumentError("a network of your own has no width to set", where="--width", found=width)
    inner = (*shape[1:], shape[0])
    try:
        return Costed(net, cost_of(outline(module, shape)), inner, card)
    except GraphError as error:
        return Costed(net, tally(module, shape), inner, card, str(error))


def _is_own(net: str) -> bool:
    """Whether the zoo does not know it by name."""
    return ":" in net or net.endswith(".pt2")


def _zoo(net: str, width: float | None, resolution: float | None, channels: int | None) -> tuple[Any, Any, Card | None]:
    """(module, (channels, height, width), card if the row is as published)."""
    from paring import zoo

    if net.endswith(".py"):
        raise ArgumentError("a Python file without a function", found=net, expected="path/to/file.py:function")
    card, takes = zoo.card(net), zoo.arguments(net)
    given: dict[str, Any] = {}
    sides = card.resolution
    if isinstance(resolution, float):
        sides = (max(1, round(resolution * sides[0])), max(1, round(resolution * sides[1])))
    elif resolution is not None:
        sides = (resolution, resolution)
    if width is not None:
        given["width_mult"] = width
    if resolution is not None and "resolution" in takes:
        given["resolution"] = sides[0]
    if channels is not None:
        given["in_channels"] = channels
    shape = (card.channels if channels is None else channels, *sides)
    return zoo.create(net, **given), shape, None if (width, resolution, channels) != (None,) * 3 else card


def _own(net: str, resolution: float | None, channels: int | None) -> tuple[Any, Any, None]:
    from paring.networks import make

    if resolution is None:
        raise ArgumentError(
            "size of the input is not known", where=net, fix="Give --resolution, and --channels if not 3"
        )
    if isinstance(resolution, float):
        raise ArgumentError(
            "a ratio needs a size to begin with, and a network of your own has none",
            where="--resolution",
            found=resolution,
            fix="Give the pixels",
        )
    return make(net, 1000), (channels or 3, resolution, resolution), None


def _of_file(net: str, *options: float | None) -> Costed:
    from paring import container
    from paring.graph import cost as cost_of

    if any(option is not None for option in options):
        raise ArgumentError("a .pare file is what it is", where=net, fix="Leave out --width, --resolution, --channels")
    graph = container.read(Path(net)).graph
    shapes = list(graph.inputs.values())
    return Costed(net, cost_of(graph), shapes[0] if len(shapes) == 1 else ())


def _remark(one: Costed) -> None:
    """What the numbers leave out, and where they differ from the published ones."""
    if one.partial:
        note(f"{one.name}: activations and peak memory are not known: {one.partial}")
    card = one.published
    if card is None:
        return
    if abs(card.macs - one.cost.macs) > 5001 or card.parameters != one.cost.parameters:
        published = f"{count(card.parameters)} parameters and {count(round(card.macs))} MACs"
        note(f"{one.name}: published with {published}; the graph keeps zeros and constants as weights")


def _table(one: Costed, all_nodes: bool) -> None:
    from paring.graph import Row

    rows = [row for row in one.cost.rows if all_nodes or row.parameters or row.macs]
    sparse = one.cost.total("nonzero_macs") != one.cost.macs
    coded = one.cost.total("packed_bytes") != one.cost.total("dense_bytes")
    columns = ["layer", "operation", "output", "parameters", "MACs"]
    columns += ["MACs without zeros"] * sparse + ["activations"] * (not one.partial)
    columns += ["float32 bytes"] + ["form", "packed bytes", "entropy bytes"] * coded
    codes = any(row.activation_bits < 32 for row in one.cost.rows)  # then widths are worth a column
    columns += ["bits of weight, output"] * codes

    def cells(name: str, op: str, output: str, values: Row | Cost, form: str = "") -> list[str]:
        get = values.total if hasattr(values, "total") else values.__getattribute__
        out = [name, op, output, count(get("parameters")), count(get("macs"))]
        out += [count(get("nonzero_macs"))] * sparse + [count(get("activations"))] * (not one.partial)
        out += [count(get("dense_bytes"))]
        out += [form, count(get("packed_bytes")), count(get("entropy_bytes"))] if coded else []
        return out + [f"{values.weight_bits}, {values.activation_bits}" if isinstance(values, Row) else ""] * codes

    title = f"{one.name}, input {'x'.join(map(str, one.input))}"
    body = [cells(row.name, row.op, "x".join(map(str, row.output)), row, row.form) for row in rows]
    show = print_table if len(body) <= _LONG else _print_plain
    show(columns, body, title=title, total=cells("total", "", "", one.cost), left=3)
    log()
    kind = "activations, codes of a byte each," if codes else "float32 activations"
    peak = "" if one.partial else f"{count(one.cost.peak_bytes)} bytes of {kind} at once"
    entropy = "zero-order, simulated; the length of a file is measured by paring inspect" if coded else ""
    print_facts({"peak memory": peak, "entropy bytes": entropy, **_facts(one)})


def _print_plain(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str, total: Sequence[str], left: int
) -> None:
    """The same table without rich, which takes seconds for thousands of rows."""
    lines = [columns, *rows, total]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    print(title)
    for line in lines:
        pairs = enumerate(zip(line, widths, strict=True))
        print("  ".join(cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in pairs).rstrip())


def _facts(one: Costed) -> dict[str, str]:
    card = one.published
    if card is None:
        return {}
    accuracy = "; ".join(f"{label} {value:g} ({source})" for label, (value, source) in card.accuracy.items())
    return {"paper": f"{card.paper} ({card.year})", "accuracy": accuracy, "mind": "; ".join(card.traps)}


def _compare(found: list[Costed]) -> None:
    columns = ("network", "input", "parameters", "MACs", "activations", "peak bytes", "float32 bytes", "published")
    rows = []
    for one in found:
        known = not one.partial
        rows.append(
            (
                one.name,
                "x".join(map(str, one.input)),
                count(one.cost.parameters),
                count(one.cost.macs),
                count(one.cost.activations if known else None),
                count(one.cost.peak_bytes if known else None),
                count(one.cost.total("dense_bytes")),
                _accuracy(one.published),
            )
        )
    print_table(columns, rows)


def _accuracy(card: Card | None) -> str:
    if card is None or not card.accuracy:
        return "-"
    label, (value, _) = next(iter(card.accuracy.items()))
    return f"{value:g} {label}"


def _as_json(one: Costed) -> dict[str, Any]:
    cost, known = one.cost, not one.partial
    return {
        "network": one.name,
        "input": list(one.input),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "nonzero_macs": cost.total("nonzero_macs"),
        "activations": cost.activations if known else None,
        "peak_bytes": cost.peak_bytes if known else None,
        "dense_bytes": cost.total("dense_bytes"),
        "packed_bytes": cost.total("packed_bytes"),
        "entropy_bytes": cost.total("entropy_bytes"),
        "published": None if one.published is None else {k: list(v) for k, v in one.published.accuracy.items()},
        "rows": [vars(row) | {"output": list(row.output)} for row in cost.rows],
    }
