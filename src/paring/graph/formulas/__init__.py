"""Costs as the papers write them, in multiply-accumulates and numbers. Each is a function of its own letters.

They judge the cost model and explain the architectures; the cost model itself counts the graph.
"""

from paring.graph.formulas._compression import binary_bytes as binary_bytes
from paring.graph.formulas._compression import cp_macs as cp_macs
from paring.graph.formulas._compression import product_quantization_rate as product_quantization_rate
from paring.graph.formulas._compression import separable_filters_macs as separable_filters_macs
from paring.graph.formulas._compression import sharing_rate as sharing_rate
from paring.graph.formulas._compression import tucker2_macs as tucker2_macs
from paring.graph.formulas._compression import xnor_speedup as xnor_speedup
from paring.graph.formulas._convolution import convolution_macs as convolution_macs
from paring.graph.formulas._convolution import flattened_macs as flattened_macs
from paring.graph.formulas._convolution import flattened_weights as flattened_weights
from paring.graph.formulas._convolution import mobilenet_macs as mobilenet_macs
from paring.graph.formulas._convolution import separable_macs as separable_macs
from paring.graph.formulas._convolution import separable_ratio as separable_ratio
from paring.graph.formulas._convolution import sic_macs as sic_macs
from paring.graph.formulas._units import inverted_residual_macs as inverted_residual_macs
from paring.graph.formulas._units import resnet_unit_macs as resnet_unit_macs
from paring.graph.formulas._units import resnext_unit_macs as resnext_unit_macs
from paring.graph.formulas._units import shufflenet_unit_macs as shufflenet_unit_macs
