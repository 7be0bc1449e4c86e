"""Bottleneck units on ``size x size`` maps, stride 1, ``channels`` in and out, ``width`` inside."""

from __future__ import annotations

from paring.errors import ArgumentError


def resnet_unit_macs(channels: int, width: int, size: int) -> int:
    """``hw (2cm + 9m^2)``: 1x1, 3x3, 1x1 (arXiv 1707.01083, section 3.2)."""
    return size**2 * (2 * channels * width + 9 * width**2)


def resnext_unit_macs(channels: int, width: int, size: int, groups: int) -> int:
    """``hw (2cm + 9m^2/g)``: 1x1, 3x3 in ``g`` groups, 1x1 (arXiv 1707.01083, section 3.2; arXiv 1611.05431).

    Raises:
        ArgumentError: if ``g`` does not divide ``m``; there is no such layer.
    """
    _check_groups(groups, width)
    return size**2 * (2 * channels * width + 9 * width * (width // groups))


def shufflenet_unit_macs(channels: int, width: int, size: int, groups: int) -> int:
    """``hw (2cm/g + 9m)``: 1x1 in ``g`` groups, depthwise 3x3, 1x1 in ``g`` groups (arXiv 1707.01083, section 3.2).

    Raises:
        ArgumentError: if ``g`` does not divide ``c`` and ``m``; there is no such layer.
    """
    _check_groups(groups, channels, width)
    return size**2 * (2 * channels * width // groups + 9 * width)


def inverted_residual_macs(in_channels: int, out_channels: int, expansion: int, size: int, kernel: int = 3) -> int:
    """``hw t d' (d' + k^2 + d'')``: expand, depthwise, project at stride 1 (arXiv 1801.04381, section 3.3)."""
    return size**2 * expansion * in_channels * (in_channels + kernel**2 + out_channels)


def _check_groups(groups: int, *counts: int) -> None:
    if groups < 1 or any(count % groups for count in counts):
        found = f"{groups} groups of {' and '.join(map(str, counts))} channels"
        raise ArgumentError("groups do not divide the channels", found=found)
