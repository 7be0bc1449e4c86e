"""Quantization-aware training."""

from paring.methods.integer.qat._module import QATModule as QATModule
from paring.methods.integer.qat._module import quantization_aware as quantization_aware
