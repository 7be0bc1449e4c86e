"""Weights and activations of one, two or a few bits: BinaryConnect, BWN, XNOR-Net, TWN, DoReFa, INQ."""

from paring.methods.low_bit._activations import QuantizedActivations as QuantizedActivations
from paring.methods.low_bit._activations import quantize_activations as quantize_activations
from paring.methods.low_bit._binary_connect import BinaryConnect as BinaryConnect
from paring.methods.low_bit._binary_connect import binary_connect as binary_connect
from paring.methods.low_bit._binary_connect import hard_sigmoid as hard_sigmoid
from paring.methods.low_bit._binary_connect import stochastic_sign as stochastic_sign
from paring.methods.low_bit._binary_weights import BinaryWeight as BinaryWeight
from paring.methods.low_bit._binary_weights import binarize_weights as binarize_weights
from paring.methods.low_bit._dorefa import DoReFa as DoReFa
from paring.methods.low_bit._dorefa import dorefa as dorefa
from paring.methods.low_bit._dorefa import quantize_unit as quantize_unit
from paring.methods.low_bit._dorefa import unit_weight as unit_weight
from paring.methods.low_bit._inq import INQ as INQ
from paring.methods.low_bit._inq import inq as inq
from paring.methods.low_bit._inq import nearest_powers as nearest_powers
from paring.methods.low_bit._inq import power_exponents as power_exponents
from paring.methods.low_bit._inq import power_levels as power_levels
from paring.methods.low_bit._ternary import Ternary as Ternary
from paring.methods.low_bit._ternary import ternarize as ternarize
from paring.methods.low_bit._ternary import ternary_weight as ternary_weight
from paring.methods.low_bit._xnor import SignBlock as SignBlock
from paring.methods.low_bit._xnor import binarize as binarize
from paring.methods.low_bit._xnor import describe_blocks as describe_blocks
from paring.methods.low_bit._xnor import rebuild_blocks as rebuild_blocks
from paring.parametrize import center_and_clip_weights as center_and_clip_weights
from paring.parametrize import clip_weights as clip_weights
