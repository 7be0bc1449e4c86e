"""What binarizing, sharing, product quantization and factorizing gain on paper."""

from __future__ import annotations

from math import log2


def xnor_speedup(channels: int, filter_area: int, lanes: int = 64) -> float:
    """``S = 64 c N_W / (c N_W + 64)``: binary over real convolution on paper (arXiv 1603.05279, section 4.1).

    64 binary products count as one operation and one real product remains per output. The input's size cancels.

    Args:
        channels: input channels c.
        filter_area: N_W = w h of the filter.
        lanes: binary products a machine word holds.
    """
    products = channels * filter_area
    return lanes * products / (products + lanes)


def binary_bytes(binary: int, real: int) -> float:
    """Bytes of a network with ``binary`` one-bit and ``real`` 32-bit parameters."""
    return binary / 8 + real * 4


def sharing_rate(weights: int, clusters: int, bits: int = 32) -> float:
    """``r = n b / (n log2 k + k b)``: n weights of b bits as k shared ones (arXiv 1510.00149, section 3)."""
    return weights * bits / (weights * log2(clusters) + clusters * bits)


def product_quantization_rate(rows: int, columns: int, segments: int, centroids: int) -> float:
    """``32 m n / (32 k n + log2(k) m s)``: an m x n matrix in s column segments of k centroids (arXiv 1412.6115)."""
    return 32 * rows * columns / (32 * centroids * columns + log2(centroids) * rows * segments)


def tucker2_macs(in_channels: int, out_channels: int, kernel: int, size: int, rank_in: int, rank_out: int) -> int:
    """``hw (S R3 + d^2 R3 R4 + R4 T)``: 1x1, d x d core, 1x1 at stride 1 (arXiv 1511.06530)."""
    core = kernel**2 * rank_in * rank_out
    return size**2 * (in_channels * rank_in + core + rank_out * out_channels)


def cp_macs(in_channels: int, out_channels: int, kernel: int, size: int, rank: int) -> int:
    """``hw (S R + 2 d R + R T)``: 1x1, d x 1 and 1 x d depthwise, 1x1 at stride 1 (arXiv 1412.6553)."""
    return size**2 * rank * (in_channels + 2 * kernel + out_channels)


def separable_filters_macs(in_channels: int, out_channels: int, kernel: int, size: int, basis: int) -> int:
    """``hw (d S K + d K F)``: k x 1 to K maps, then 1 x k (arXiv 1405.3866, scheme 2)."""
    return size**2 * kernel * basis * (in_channels + out_channels)
