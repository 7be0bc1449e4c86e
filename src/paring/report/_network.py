"""What a graph says about itself for the report: its nodes, its layers' bytes, its weights' histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, floor

import numpy as np

from paring.errors import ArgumentError
from paring.forms import Codebook, Form
from paring.graph import OPS, Graph, Node
from paring.report._pieces import GraphNode, Histogram, Layer, NodeTime

#: Bins of a histogram; even, so that zero can stand between two of them.
BINS = 64
#: Elements of a weight looked at for a histogram at once, so that a large layer needs no second copy of itself.
_CHUNK = 1 << 22


def graph_nodes(graph: Graph) -> tuple[GraphNode, ...]:
    """The graph's inputs and nodes with their batch-free output shapes.

    A parameter shared by several nodes is counted with the first.
    """
    rows = [GraphNode(name, "input", (), shape) for name, shape in graph.inputs.items()]
    for node, owned in _owners(graph):
        weights = sum(graph.weights[name].size for name in owned)
        output = node.name in graph.outputs
        rows.append(
            GraphNode(node.name, node.op, node.inputs, graph.shapes[node.name], _detail(graph, node), weights, output)
        )
    return tuple(rows)


def layers(graph: Graph, weight_bytes: Mapping[str, int]) -> tuple[Layer, ...]:
    """One row for each node that owns parameters.

    Args:
        graph: the network in the file.
        weight_bytes: bytes in the file of each weight by name.
    """
    rows = []
    for node, owned in _owners(graph):
        if not owned:
            continue
        forms = [graph.weights[name] for name in owned]
        main = max(forms, key=lambda form: form.size)
        weights = sum(form.size for form in forms)
        after = sum(weight_bytes.get(name, 0) for name in owned)
        kept = sum(form.nonzeros for form in forms)
        rows.append(Layer(node.name, node.op, form_name(main), weights, kept, 4 * weights, after))
    return tuple(rows)


def histograms(graph: Graph, baseline: Mapping[str, np.ndarray] | None = None) -> tuple[Histogram, ...]:
    """One histogram for each weight of two or more axes.

    Args:
        graph: the network in the file.
        baseline: weight name to the weights before compression, shapes as in the graph; names it lacks, or all of
            them without it, show the file's own weights.

    Raises:
        ArgumentError: if a baseline weight has another shape.
    """
    baseline = baseline or {}
    rows = []
    for name in (name for _, owned in _owners(graph) for name in owned):
        form = graph.weights[name]
        if len(form.shape) < 2:
            continue
        before = baseline.get(name)
        if before is not None and before.shape != form.shape:
            raise ArgumentError(
                "weights before compression have another shape", where=name, found=before.shape, expected=form.shape
            )
        rows.append(_histogram(name, form, before))
    return tuple(rows)


def fused(profile: Sequence[NodeTime], graph: Graph) -> tuple[NodeTime, ...]:
    """The engine's steps under the names of the nodes they do.

    A step goes by the value it makes. A node that is no step of its own was done by the step that reads it; such a
    step is named after the first of its nodes that has weights.
    """
    done: dict[str, list[Node]] = {step.name: [] for step in profile}
    reader: dict[str, str] = {}
    for node in reversed(graph.nodes):
        owner = node.name if node.name in done else reader.get(node.name)
        if owner is not None:
            done[owner].insert(0, node)
            reader.update(dict.fromkeys(node.inputs, owner))
    rows = []
    for step in profile:
        nodes = done[step.name]
        head = next((node for node in nodes if node.weights), None)
        name = head.name if head else step.name
        rows.append(replace(step, name=name, op=" + ".join(node.op for node in nodes) or step.op))
    return tuple(rows)


def _histogram(name: str, form: Form, before: np.ndarray | None) -> Histogram:
    after = form.dense().ravel()
    values = after if before is None else np.asarray(before, np.float32).ravel()
    centroids = tuple(float(c) for c in form.centroids) if isinstance(form, Codebook) else ()
    finite = values[np.isfinite(values)]
    ends = [*centroids, *([float(finite.min()), float(finite.max())] if finite.size else [])]
    # Whole bins counted from zero, so that zero stands between two of them; the plot ends where the weights end.
    step = 2 * (max(map(abs, ends), default=0.0) or 1.0) / BINS
    first, last = floor(min([*ends, 0.0]) / step), ceil(max([*ends, 0.0]) / step)
    bins, low, high = max(last - first, 1), first * step, max(last, first + 1) * step
    kept, pruned = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
    for start in range(0, values.size, _CHUNK):
        piece, zero = values[start : start + _CHUNK].astype(np.float64), after[start : start + _CHUNK] == 0
        good = np.isfinite(piece)
        place = np.clip(((piece[good] - low) / step).astype(np.int64), 0, bins - 1)
        kept += np.bincount(place[~zero[good]], minlength=bins)
        pruned += np.bincount(place[zero[good]], minlength=bins)
    return Histogram(name, low, high, tuple(kept.tolist()), tuple(pruned.tolist()), centroids, before is not None)


def _owners(graph: Graph) -> list[tuple[Node, list[str]]]:
    """Each node with the names of the parameters that no node before it reads."""
    seen: set[str] = set()
    rows = []
    for node in graph.nodes:
        owned = [name for name in dict.fromkeys(node.weights.values()) if name not in seen]
        seen.update(owned)
        rows.append((node, owned))
    return rows


def form_name(form: Form) -> str:
    """In words: ``codebook of 31, 16 bits``, ``dense, 32 bits``."""
    kind = f"{form.kind} of {len(form.centroids)}" if isinstance(form, Codebook) else form.kind
    bits = getattr(form, "bits", None)
    return f"{kind}, {bits} bits" if bits else kind


def _detail(graph: Graph, node: Node) -> str:
    """Kernel size and the attributes that differ from their defaults, in a few words."""
    words = []
    if node.op == "conv2d":
        words.append(_times(graph.weights[node.weights["weight"]].shape[2:]))
    for key, default in OPS[node.op].attrs.items():
        value = node.attrs.get(key, default)
        if value != default:
            words.append(f"{key.replace('_', ' ')} {_value(value)}")
    return ", ".join(words)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else _times(value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _times(axes: tuple[int, ...]) -> str:
    return "×".join(map(str, axes))
