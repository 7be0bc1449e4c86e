"""Weights and activations as integers, after training."""

from paring.methods.integer._adaround import adaround as adaround
from paring.methods.integer._bias_correction import bias_error as bias_error
from paring.methods.integer._gptq import gptq as gptq
from paring.methods.integer._mixed_widths import mixed_widths as mixed_widths
from paring.methods.integer._moments import Moments as Moments
from paring.methods.integer._moments import Normal as Normal
from paring.methods.integer._moments import clipped_normal as clipped_normal
from paring.methods.integer._moments import moments as moments
from paring.methods.integer._moments import normals as normals
from paring.methods.integer._observers import OBSERVERS as OBSERVERS
from paring.methods.integer._observers import Histogram as Histogram
from paring.methods.integer._observers import affine as affine
from paring.methods.integer._output_noise import output_noise as output_noise
from paring.methods.integer._quantize import observe as observe
from paring.methods.integer._quantize import quantize as quantize
from paring.methods.integer._report import LayerReport as LayerReport
from paring.methods.integer._report import Quantized as Quantized
from paring.methods.integer._weight_scales import weight_scales as weight_scales
