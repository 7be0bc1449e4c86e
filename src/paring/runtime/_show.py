"""A model in a notebook."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paring.runtime._model import Model


def html(model: Model) -> str:
    """A small table: what goes in and comes out, what the weights are, how pictures are prepared."""
    prepared = model.preparation
    forms = Counter(form.kind for form in model.graph.weights.values())
    rows = {
        "input": "x".join(map(str, model.input_shape)),
        "output": "x".join(map(str, model.output_shape)),
        "answers": model.output,
        "classes": _listed(model.classes),
        "parameters": f"{model.graph.parameters:,}",
        "operations": f"{len(model.graph.nodes):,}",
        "weights": ", ".join(f"{count} {kind}" for kind, count in sorted(forms.items())),
        "pictures": "" if prepared is None else f"mean {_numbers(prepared.mean)}, std {_numbers(prepared.std)}",
        **{key: str(value) for key, value in (model.provenance or {}).items()},
    }
    cells = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items() if v)
    return f"<table><caption>paring model</caption>{cells}</table>"


def _listed(names: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
