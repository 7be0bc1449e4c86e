"""Who computes on codes: what each node of a float graph becomes when it is quantized."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from paring.errors import ArgumentError
from paring.graph import LAYERS, OPS, Graph, Node
from paring.methods.integer._weight_scales import largest_code

#: Roles whose value is codes with a scale of their own.
ROUNDING = ("layer", "add", "mean", "lookup", "rescale", "concat")
#: Most products of 8-bit codes whose sum fits, with its bias, into 32 bits.
_MOST_SUM = 1 << 30

Bits = int | None | Mapping[str, int | None]


@dataclass
class Roles:
    """What becomes of every node.

    Attributes:
        graph: the float graph, pools to one number per window made plain.
        role: node name to ``layer``, ``weights`` (integer weight, float arithmetic), ``add``, ``mean``, ``move``,
            ``concat``, ``lookup``, ``rescale``, ``fused`` (an activation taken in by the node before it) or ``float``.
        reason: why a node that computes stays in float, for each that does.
        fused: node to the activation node that it takes in.
        bits: width of the weight of each ``layer`` and ``weights`` node.
    """

    graph: Graph
    role: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    fused: dict[str, str] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)

    def is_codes(self, value: str) -> bool:
        """Whether a value of the float graph is codes in the quantized one."""
        return self.role.get(value) in (*ROUNDING, "move", "fused")

    def settled(self, node: str) -> str:
        """The value that a node's codes stand for: its own, or that of the activation it takes in."""
        return self.fused.get(node, node)

    def rounded(self) -> list[str]:
        """Values that are rounded to codes of their own, in order; see :meth:`entries` for the others."""
        return [self.settled(n.name) for n in self.graph.nodes if self.role[n.name] in ROUNDING]

    def entries(self) -> list[str]:
        """Float values that nodes on codes read and that are quantized for them."""
        found = [
            name
            for node in self.graph.nodes
            if self.role[node.name] in (*ROUNDING, "move")
            for name in node.inputs
            if not self.is_codes(name)
        ]
        return list(dict.fromkeys(found))


def widths(names: list[str], bits: Bits, what: str, otherwise: int | None = 8) -> dict[str, int | None]:
    """The width each name is given: one for all, or by shell patterns of which later ones override earlier ones.

    Raises:
        ArgumentError: if a pattern matches nothing, with the nearest names, or a width cannot be.
    """
    if not isinstance(bits, Mapping):
        bits = {"*": bits} if names else {}
    chosen: dict[str, int | None] = dict.fromkeys(names, otherwise)
    for pattern, width in bits.items():
        if width is not None:
            largest_code(width)
        hits = [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            near = get_close_matches(pattern, names, 3, cutoff=0.4) or names[:3]
            raise ArgumentError(f"pattern matches no {what}", found=repr(pattern), expected=", ".join(near))
        chosen.update(dict.fromkeys(hits, width))
    return chosen


def assign(
    graph: Graph, weights: Bits, *, on_codes: bool = True, answers: str = "float", exact: Collection[str] = ()
) -> Roles:
    """Decide on every node.

    Args:
        graph: batch norms folded.
        weights: width of each layer's weight; None leaves the layer in float.
        on_codes: whether activations become codes at all.
        answers: ``float``: layers that make an output of the network keep their sums, with an integer weight, so that
            answers are not rounded to codes; ``codes``: they are like others.
        exact: further layers that keep their sums; additions that read them are computed in float, too.

    Raises:
        ArgumentError: on a pattern without a match, a width that cannot be, or another value of ``answers``.
    """
    if answers not in ("float", "codes"):
        raise ArgumentError("unknown treatment of answers", found=repr(answers), expected="float or codes")
    roles = Roles(_plain_pools(graph) if on_codes else graph)
    graph = roles.graph
    chosen = widths([node.name for node in graph.nodes if node.op in LAYERS], weights, "layer")
    nodes = {node.name: node for node in graph.nodes}
    readers = graph.readers()
    final = _answering(graph) if answers == "float" else set()
    sums = set(exact)  # values in float on request: additions of such join them
    for node in graph.nodes:
        if node.op in LAYERS:
            role, reason = _weighted(graph, node, chosen[node.name], on_codes, node.name in final, node.name in sums)
            if role != "float":
                roles.bits[node.name] = chosen[node.name] or 8
        elif not on_codes:
            role, reason = "float", ""
        elif OPS[node.op].clamp is not None and _takes_in(roles, nodes.get(node.inputs[0]), readers, graph):
            roles.fused[node.inputs[0]] = node.name
            role, reason = "fused", ""
        elif node.op == "add" and not sums.isdisjoint(node.inputs):
            sums.add(node.name)
            role, reason = "float", "adds sums that are kept in float"
        else:
            role, reason = _unweighted(roles, node)
        roles.role[node.name] = role
        if reason:
            roles.reason[node.name] = reason
    return roles


def _weighted(graph: Graph, node: Node, bits: int | None, on_codes: bool, final: bool, exact: bool) -> tuple[str, str]:
    if bits is None:
        return "float", "left in float on request"
    if not on_codes:
        return "weights", ""
    if f"integer_{node.op}" not in OPS:
        return "weights", f"{node.op} has no operator on codes: integer weight, float arithmetic"
    if final:
        return "weights", "makes the network's answer: integer weight, sums kept in float"
    if exact:
        return "weights", "disturbs the answers most when rounded: integer weight, sums kept in float"
    depth = graph.weights[node.weights["weight"]].size // graph.weights[node.weights["weight"]].shape[0]
    if depth * 255 * largest_code(bits) > _MOST_SUM:
        return "weights", "sums might not fit 32 bits: integer weight, float arithmetic"
    return "layer", ""


def _unweighted(roles: Roles, node: Node) -> tuple[str, str]:
    spec, shapes = OPS[node.op], roles.graph.shapes
    if not any(roles.is_codes(name) for name in node.inputs):
        return "float", "" if spec.moves_data else "reads floats alone"
    if node.op == "concat":
        return "concat", ""
    if spec.moves_data:
        return "move", ""
    if spec.clamp is not None:
        return "rescale", ""
    if node.op in ("avg_pool", "global_avg_pool"):
        return "mean", ""
    if spec.tabulated:
        return "lookup", ""
    if node.op == "add":
        if shapes[node.inputs[0]] == shapes[node.inputs[1]]:
            return "add", ""
        return "float", "adds operands of different shapes"
    return "float", f"{node.op} has no operator on codes"


def _takes_in(roles: Roles, maker: Node | None, readers: Mapping[str, list[Node]], graph: Graph) -> bool:
    if maker is None or maker.name in graph.outputs or len(readers[maker.name]) != 1 or maker.name in roles.fused:
        return False
    return roles.role[maker.name] in ("layer", "add", "mean")


def _answering(graph: Graph) -> set[str]:
    """Layers whose value reaches an output through no other layer and nothing that could be cheaper on codes."""
    found: set[str] = set()
    makers = {node.name: node for node in graph.nodes}
    waiting = [name for name in graph.outputs if name in makers]
    while waiting:
        node = makers[waiting.pop()]
        if node.op in LAYERS:
            found.add(node.name)
        elif node.op in ("softmax", "sigmoid", "flatten"):
            waiting += [name for name in node.inputs if name in makers]
    return found


def _plain_pools(graph: Graph) -> Graph:
    """Adaptive pools whose windows are all alike as plain ones."""
    nodes = []
    for node in graph.nodes:
        if node.op == "adaptive_avg_pool":
            size: Any = node.attrs["size"]
            height, width, _ = graph.shapes[node.inputs[0]]
            if height % size[0] == 0 and width % size[1] == 0:
                kernel = (height // size[0], width // size[1])
                node = replace(node, op="avg_pool", attrs={"kernel": kernel, "stride": kernel})
        nodes.append(node)
    return graph.replaced(nodes=nodes)
