"""Full, separable, flattened and scaled convolutions. All maps are square ``size x size``, all strides 1."""

from __future__ import annotations


def convolution_macs(in_channels: int, out_channels: int, kernel: int, size: int, groups: int = 1) -> int:
    """``D_K^2 M N D_F^2 / groups``: a full convolution (arXiv 1704.04861, equation 2)."""
    return kernel**2 * (in_channels // groups) * out_channels * size**2


def separable_macs(in_channels: int, out_channels: int, kernel: int, size: int) -> int:
    """``D_K^2 M D_F^2 + M N D_F^2``: depthwise, then 1x1 (arXiv 1704.04861, equation 3; Sifre 2014)."""
    return kernel**2 * in_channels * size**2 + in_channels * out_channels * size**2


def separable_ratio(out_channels: int, kernel: int) -> float:
    """``1/N + 1/D_K^2``: depthwise separable over full, whatever the input (arXiv 1704.04861, section 3.1)."""
    return 1 / out_channels + 1 / kernel**2


def mobilenet_macs(
    in_channels: int, out_channels: int, kernel: int, size: int, width_mult: float = 1.0, resolution_mult: float = 1.0
) -> float:
    """``D_K^2 aM (rD_F)^2 + aM aN (rD_F)^2`` (arXiv 1704.04861, equation 7); no rounding of channels or sizes."""
    channels, out, side = width_mult * in_channels, width_mult * out_channels, resolution_mult * size
    return kernel**2 * channels * side**2 + channels * out * side**2


def flattened_macs(in_channels: int, out_channels: int, kernel: int, size: int) -> int:
    """``XY (C F + 2 F k)``: one lateral-vertical-horizontal stage (arXiv 1412.5474), edges ignored."""
    return size**2 * (in_channels * out_channels + 2 * out_channels * kernel)


def flattened_weights(in_channels: int, out_channels: int, kernel: int) -> int:
    """``F (C + 2 k)`` against ``C F k^2`` of the full convolution (arXiv 1412.5474)."""
    return out_channels * (in_channels + 2 * kernel)


def sic_macs(in_channels: int, out_channels: int, kernel: int, size: int) -> int:
    """``XY (C k^2 + C F)``: single intra-channel convolution and projection (arXiv 1608.04337)."""
    return size**2 * (in_channels * kernel**2 + in_channels * out_channels)
