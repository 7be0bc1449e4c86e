"""Quantization-aware training."""

from paring.methods.integer.qat._module import Aware as Aware
from paring.methods.integer.qat._module import quantization_aware as quantization_aware
