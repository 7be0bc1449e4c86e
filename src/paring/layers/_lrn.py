"""Local response normalization, across channels.

Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012, sec. 3.3:

    b_i = a_i / (k + alpha * sum_{j = max(0, i - n/2)}^{min(C - 1, i + n/2)} a_j^2) ^ beta

with n = 5, k = 2, alpha = 1e-4, beta = 0.75. Implementations disagree on what ``alpha`` multiplies:

============  ==========================  =======================================
convention    inside the power            who
============  ==========================  =======================================
``"paper"``   ``k + alpha * sum``         the paper, TensorFlow (window 2 r + 1)
``"caffe"``   ``k + alpha / n * sum``     Caffe, torch; both with k = 1 by default
============  ==========================  =======================================

Trained weights belong to one convention: Caffe's AlexNet wants ``k=1, convention="caffe"``. The divisor is n at the
borders too, where fewer channels are summed.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError


def local_response_norm(
    x: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, *, convention: str = "paper"
) -> Tensor:
    """Divide every value by a power of the energy of its neighbor channels. The constants default to the paper's.

    Args:
        x: (N, C, ...) activations.
        size: channels n in the window; an even n takes n / 2 channels before and n / 2 - 1 behind, as torch does.
        alpha: weight of the energy.
        beta: exponent.
        k: what is added to the energy.
        convention: "paper" (alpha) or "caffe" (alpha / n).

    Returns:
        An array of the shape of ``x``.

    Raises:
        ArgumentError: on a size below 1 or an unknown convention.
    """
    return F.local_response_norm(x, size, torch_alpha(alpha, size, convention), beta, k)


def torch_alpha(alpha: float, size: int, convention: str) -> float:
    """The ``alpha`` torch (and Caffe, and Paring's graph) must be given, which they divide by ``size``."""
    if size < 1:
        raise ArgumentError("a normalization window needs a channel", found=f"size {size}", expected="1 or more")
    if convention not in ("paper", "caffe"):
        raise ArgumentError("unknown convention", found=repr(convention), expected="'paper' or 'caffe'")
    return alpha * size if convention == "paper" else alpha


class LocalResponseNorm(nn.LocalResponseNorm):
    """:func:`local_response_norm` as a layer. Its attribute ``alpha`` is torch's, to be divided by ``size``."""

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, *, convention: str = "paper"
    ) -> None:
        super().__init__(size, torch_alpha(alpha, size, convention), beta, k)
