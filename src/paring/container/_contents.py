"""What a `.pare` file holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from paring.graph import Graph
from paring.image import Preparation


@dataclass
class Contents:
    """A network with what is needed to use it and to know where it came from.

    Attributes:
        graph: the network with its weights in their forms.
        preparation: how an image becomes its input; None if it does not take images.
        classes: names of the classes, in the order of the network's outputs; may be empty.
        provenance: short free-form facts by key (``recipe``, ``data``, ``paring``).
        output: what the answers are, one of :data:`paring.container.OUTPUTS`; empty for what the graph's last operators
            show (:func:`paring.container.output_of`).
    """

    graph: Graph
    preparation: Preparation | None = None
    classes: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)
    output: str = ""
