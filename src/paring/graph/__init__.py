"""The network as plain data: nodes, shapes, attributes, weights. Numpy only.

Activations are NHWC and batch-free (``(H, W, C)`` or ``(features,)``); weights keep the field's ``(out, in / groups,
kh, kw)`` order. An operator is one row of ``OPS``. A graph never changes: whoever rewrites one makes a new one.
"""

from paring.graph._channel_flow import Classes as Classes
from paring.graph._channel_flow import carried as carried
from paring.graph._channel_flow import follow as follow
from paring.graph._channels import remove_channels as remove_channels
from paring.graph._cost import Cost as Cost
from paring.graph._cost import Row as Row
from paring.graph._cost import cost as cost
from paring.graph._cost import entropy_bytes as entropy_bytes
from paring.graph._cost import packed_bytes as packed_bytes
from paring.graph._cost import weight_uses as weight_uses
from paring.graph._coupling import Couplings as Couplings
from paring.graph._coupling import couplings as couplings
from paring.graph._graph import Graph as Graph
from paring.graph._graph import Node as Node
from paring.graph._integer import QuantParams as QuantParams
from paring.graph._integer import dequantize as dequantize
from paring.graph._integer import integer_bias as integer_bias
from paring.graph._integer import least_scales as least_scales
from paring.graph._integer import multiplier as multiplier
from paring.graph._integer import multipliers as multipliers
from paring.graph._integer import quantize as quantize
from paring.graph._integer import requantize as requantize
from paring.graph._integer import to_codes as to_codes
from paring.graph._integer_ops import INTEGER_OPS as INTEGER_OPS
from paring.graph._integer_ops import LAYERS as LAYERS
from paring.graph._integer_ops import OPS as OPS
from paring.graph._ops import PLUGIN as PLUGIN
from paring.graph._ops import Compute as Compute
from paring.graph._ops import OpSpec as OpSpec
from paring.graph._ops import register_operator as register_operator
from paring.graph._passes import fold_scale_shift as fold_scale_shift
from paring.graph._passes import simplify as simplify
