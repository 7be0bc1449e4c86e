"""The network as plain data: nodes, shapes, attributes, weights. Numpy only.

Activations are NHWC and batch-free (``(H, W, C)`` or ``(features,)``); weights keep the field's ``(out, in / groups,
kh, kw)`` order. An operator is one row of ``OPS``.
"""

from paring.graph._cost import Cost as Cost
from paring.graph._cost import Row as Row
from paring.graph._cost import cost as cost
from paring.graph._cost import entropy_bytes as entropy_bytes
from paring.graph._cost import packed_bytes as packed_bytes
from paring.graph._graph import Graph as Graph
from paring.graph._graph import Node as Node
from paring.graph._ops import OPS as OPS
from paring.graph._ops import OpSpec as OpSpec
from paring.graph._passes import fold_scale_shift as fold_scale_shift
from paring.graph._passes import simplify as simplify
from paring.graph._preparation import Preparation as Preparation
