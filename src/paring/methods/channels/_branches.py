"""Residual branches removed: a block becomes its shortcut, and all its layers go at once.

Veit, Wilber, Belongie, "Residual networks behave like ensembles of relatively shallow networks", NIPS 2016, arXiv
1605.06431, section 4.1: a residual network loses little when the branch of one block is deleted, ``y = f(x) + x``
becoming ``y = x``, where a plain network is lost. It is structured pruning to the end: all channels of ``f`` go, and
with them what each of its operators costs however few channels are left (its call, its passes over the map).

Which branch matters least is measured, not guessed: ``score`` is the loss of the network without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from paring.errors import ArgumentError
from paring.graph import LAYERS, Graph, Node


def residual_branches(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The branches that can be removed: name of the addition to the nodes of its branch, in order.

    An addition of two maps of one shape has a branch if nothing else reads what one of its operands is made of, back
    to where both part. Of two such operands (a projection in the shortcut) the branch is the one with more layers.
    """
    readers = {name: {node.name for node in nodes} for name, nodes in graph.readers().items()}
    found: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes:
        if node.op != "add" or node.inputs[0] == node.inputs[1]:
            continue
        first, second = node.inputs
        sides = [_only_for(graph, one, other, node.name, readers) for one, other in ((first, second), (second, first))]
        layers = [sum(inner.op in LAYERS for inner in side) for side in sides]
        branch = sides[0] if layers[0] > layers[1] else sides[1]
        if layers[0] != layers[1] and _parts(branch, graph):
            found[node.name] = tuple(inner.name for inner in branch)
    shapes = graph.shapes
    return {name: inner for name, inner in found.items() if shapes[_shortcut(graph, name, inner)] == shapes[name]}


def remove_branches(graph: Graph, patterns: Iterable[str]) -> Graph:
    """The network without these branches; an activation on what is already that activation's answer goes, too.

    The answers are those of the graph in which the branch's value is zero everywhere, bit for bit.

    Args:
        graph: the network, unchanged.
        patterns: shell patterns on the names of additions, or of anything in a branch (``layer3.1.*``).

    Raises:
        ArgumentError: if a pattern matches no branch.
    """
    branches = residual_branches(graph)
    chosen = _matching(branches, patterns)
    nodes = {node.name: node for node in graph.nodes}
    gone = set(chosen).union(*(branches[add] for add in chosen))
    instead = {add: _shortcut(graph, add, branches[add]) for add in chosen}
    for node in graph.nodes:  # relu(relu(x)) is relu(x); in order, so that a chain of emptied blocks goes whole
        if node.op == "relu" and node.inputs[0] in instead and node.name not in graph.outputs:
            before = _resolved(node.inputs[0], instead)
            if before in nodes and nodes[before].op == "relu":
                gone.add(node.name)
                instead[node.name] = before
    left = [
        replace(node, inputs=tuple(_resolved(name, instead) for name in node.inputs))
        for node in graph.nodes
        if node.name not in gone
    ]
    used = {name for node in left for name in node.weights.values()}
    weights = {name: form for name, form in graph.weights.items() if name in used}
    return graph.replaced(nodes=left, outputs=[_resolved(name, instead) for name in graph.outputs], weights=weights)


def _matching(branches: dict[str, tuple[str, ...]], patterns: Iterable[str]) -> list[str]:
    chosen: dict[str, None] = {}
    for pattern in patterns:
        hits = [add for add, inner in branches.items() if any(fnmatchcase(name, pattern) for name in (add, *inner))]
        if not hits:
            names = [name for add, inner in branches.items() for name in (add, *inner)]
            near = get_close_matches(pattern, names, 3, cutoff=0.4) or names[:3]
            raise ArgumentError(
                "pattern matches no residual branch", found=repr(pattern), expected=", ".join(near) or "there is none"
            )
        chosen.update(dict.fromkeys(hits))
    return list(chosen)


def cheapest_branch(
    graph: Graph, score: Callable[[Graph], float], exclude: Iterable[str] = ()
) -> tuple[str, Graph, float] | None:
    """The branch without which ``score`` is smallest, the graph without it and that score; ``None`` if none is left.

    Args:
        graph: the network, unchanged.
        score: of a graph; a loss, so that less is better.
        exclude: patterns, as in :func:`remove_branches`, of branches to leave alone.

    Raises:
        ArgumentError: if a pattern matches no branch.
    """
    branches = residual_branches(graph)
    excluded, best = _matching(branches, exclude), None
    for add in branches:
        if add not in excluded:
            smaller = remove_branches(graph, [add])
            loss = float(score(smaller))
            if best is None or loss < best[2]:
                best = (add, smaller, loss)
    return best


def _only_for(graph: Graph, value: str, other: str, reader: str, readers: dict[str, set[str]]) -> list[Node]:
    """The nodes that make ``value`` for ``reader`` and for nobody else, ``other`` included; in order."""
    inside, wanted, needed, found = {reader}, {value}, {other}, []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
        elif node.name in wanted and node.name not in graph.outputs and readers.get(node.name, set()) <= inside:
            inside.add(node.name)
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


def _parts(branch: list[Node], graph: Graph) -> bool:
    """Whether the branch begins at one value of the network: two would be no branch but another network's end."""
    inner = {node.name for node in branch}
    return len({name for node in branch for name in node.inputs} - inner) == 1


def _shortcut(graph: Graph, add: str, branch: tuple[str, ...] | list[Node]) -> str:
    """The addition's other operand."""
    inner = {node if isinstance(node, str) else node.name for node in branch}
    node = next(node for node in graph.nodes if node.name == add)
    return next(name for name in node.inputs if name not in inner)


def _resolved(name: str, instead: dict[str, str]) -> str:
    while name in instead:
        name = instead[name]
    return name
