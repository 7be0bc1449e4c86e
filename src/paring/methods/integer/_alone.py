"""One layer's weight rounded alone, for the sensitivity analysis."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from paring.forms import Integer
from paring.methods.integer._weight_scales import weight_scales


def round_layer(box: nn.Module, path: str, bits: int) -> None:
    """Round one layer's weight as :func:`paring.methods.quantize` does: symmetric, a scale per output channel."""
    layer: Any = box.get_submodule(path)
    weight = layer.weight.detach().cpu().float().numpy()
    scales = weight_scales(weight, bits, 0, "max" if bits >= 6 else "mse")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(Integer.from_dense(weight, scales, bits, 0).dense()))
