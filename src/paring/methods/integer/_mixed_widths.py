"""Few bits for most weights: the smallest layers keep 8, where bits cost little and rounding harms all that follows.

Depthwise layers and the first layers of a network hold a few per cent of its weights, see every image at full
resolution, and have few weights to a row among which rounding errors could cancel.
"""

from __future__ import annotations

from paring.errors import ArgumentError
from paring.graph import LAYERS, Graph
from paring.methods.integer._weight_scales import largest_code


def mixed_widths(graph: Graph, bits: int, share: float = 0.1, wide: int = 8) -> dict[str, int | None]:
    """Widths for :func:`paring.methods.quantize`: ``wide`` for the first layer and the smallest, ``bits`` for the rest.

    Args:
        graph: any; batch norms may be folded or not.
        bits: width of most weights, 2 to 8.
        share: the smallest layers stay wide as long as they hold at most this share of all weights together.
        wide: their width.

    Returns:
        pattern or layer to width, ``*`` first.

    Raises:
        ArgumentError: on a width or share that cannot be.
    """
    largest_code(bits)
    largest_code(wide)
    if not 0 <= share <= 1:
        raise ArgumentError("invalid share of the weights", found=share, expected="0 to 1")
    layers = [node for node in graph.nodes if node.op in LAYERS]
    sizes = {node.name: graph.weights[node.weights["weight"]].size for node in layers}
    chosen: dict[str, int | None] = {"*": bits} if layers else {}
    chosen.update((node.name, wide) for node in layers[:1])
    room = share * sum(sizes.values())
    for name, size in sorted(sizes.items(), key=lambda pair: pair[1]):
        room -= size
        if room < 0:
            break
        chosen[name] = wide
    return chosen
