"""Binary layers of Binary-Weight-Networks and XNOR-Net (Rastegari et al. 2016, arXiv 1603.05279), with their training.

Forward, for one output filter of n = c kh kw weights W over an input I:

    B = sign(W), sign(0) = +1        alpha = mean |W|                                (sections 3.1, 3.2)
    "real"    I * W  ~  (I * B) alpha                                                Binary-Weight-Network
    "sign"    I * W  ~  (sign(I) * B) alpha                                          XNOR-Net as released
    "scaled"  I * W  ~  (sign(I) * B) . K alpha,  K = (mean over channels of |I|) * box filter 1 / (kh kw)

Binarized Neural Networks (Courbariaux et al. 2016, arXiv 1602.02830) are "sign" without alpha: the dot product of signs
as it is, for a batch norm behind it to scale, and weights whose gradient is that of the sign.

Backward: d sign(x) / dx = 1 where |x| <= 1, else 0, and dC/dW = dC/dW~ (1/n + alpha [|W| <= 1]) (section 3.1).
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError

INPUTS = ("real", "sign", "scaled")
GRADIENTS = ("paper", "released")


class _Sign(torch.autograd.Function):
    """+1 where x >= 0, else -1; gradient passes where |x| <= 1 (the straight-through estimator)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _signs(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


class _WeightSign(torch.autograd.Function):
    """sign(W), with the gradient of alpha sign(W) that the paper gives; what follows must multiply by alpha."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, alpha: Tensor, released: bool) -> Tensor:
        ctx.save_for_backward(weight, alpha)
        ctx.released = released
        return _signs(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        weight, alpha = ctx.saved_tensors
        n, channels = weight[0].numel(), weight.shape[1]
        # grad is alpha dC/dW~; an all-zero filter (alpha = 0) passes nothing on.
        share = torch.where(alpha > 0, 1 / (n * alpha), 0.0)
        if not ctx.released:
            return grad * (share + (weight.abs() <= 1)), None, None
        return grad * (share + (weight.abs() < 1)) * ((1 - 1 / channels) * n), None, None


def _signs(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def _per_filter(values: Tensor, weight: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (weight.dim() - 1))


def binary_sign(x: Tensor) -> Tensor:
    """sign(x) with sign(0) = +1; its gradient is 1 where |x| <= 1, else 0 (arXiv 1603.05279, section 3.1).

    Torch's own ``sign`` gives 0 at 0 and no gradient; a packed bit cannot hold that 0.
    """
    return _Sign.apply(x)


def weight_scale(weight: Tensor) -> Tensor:
    """alpha: mean of |W| of each output filter, the scale with the least squared error of alpha B (section 3.1).

    Args:
        weight: ``(out, ...)``.

    Returns:
        ``(out,)``.
    """
    return weight.abs().flatten(1).mean(1)


def binary_weight(weight: Tensor, gradient: str = "paper") -> tuple[Tensor, Tensor]:
    """B = sign(W) and alpha, to be multiplied together by the caller, as one differentiable step.

    The product ``alpha B`` has the gradient ``dC/dW = dC/dW~ (1/n + alpha [|W| <= 1])``, n weights per filter. The
    1/n is the diagonal of the derivative of alpha; the paper leaves the rest out. All of it flows through B, none
    through alpha.

    Args:
        weight: ``(out, c, ...)``, real.
        gradient: ``"paper"``, or ``"released"`` for the authors' code, ``(1/n + alpha [|W| < 1]) (1 - 1/c) n``. The
            difference matters: clipped weights sit at exactly 1.

    Returns:
        B of the weight's shape, holding +1 and -1, and alpha of shape ``(out,)``.

    Raises:
        ArgumentError: on another ``gradient``.
    """
    if gradient not in GRADIENTS:
        raise ArgumentError("unknown gradient", found=repr(gradient), expected=" or ".join(GRADIENTS))
    alpha = weight_scale(weight).detach()
    return _WeightSign.apply(weight, _per_filter(alpha, weight), gradient == "released"), alpha


def input_scale(
    input: Tensor,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...] = (1, 1),
    padding: tuple[int, ...] = (0, 0),
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """K: the mean of |I| over the channels, averaged over the filter's window (arXiv 1603.05279, section 3.2).

    Args:
        input: ``(N, C, H, W)``; what lies outside counts as 0.
        kernel_size: (kh, kw); the box filter is 1 / (kh kw).
        stride: of the convolution, as are ``padding``, ``dilation`` and ``groups``.

    Returns:
        ``(N, groups, H', W')``, H' and W' those of the convolution's output.
    """
    mean = input.abs() if groups > 1 else input.abs().mean(1, keepdim=True)
    depth = mean.shape[1] // groups  # with groups, the box goes over their channels, too
    box = mean.new_full((groups, depth, *kernel_size), 1 / (depth * prod(kernel_size)))
    return F.conv2d(mean, box, None, stride, padding, dilation, groups)


class BinaryConv2d(nn.Conv2d):
    """Convolution with binary weights and, but for ``inputs="real"``, binary inputs; see the module's formulas.

    Real weights are kept in ``weight`` and trained; every forward binarizes them, so nothing has to be saved and
    restored around a step. The dot products of signs are exact integers, scaled afterwards by alpha, then by K.

    Args:
        in_channels: as in ``torch.nn.Conv2d``, like all others not named here.
        inputs: ``"real"`` (BWN), ``"sign"``, or ``"scaled"`` (sign, and the output times K).
        gradient: see :func:`binary_weight`.
        pad_value: what surrounds the map of signs: 0 (a position that does not count), 1 or -1.
        alpha: False leaves the filters' scale out (a Binarized Neural Network); ``gradient`` is not read then.
        bias: added last, real. Off by default, because a batch norm follows in the paper's blocks.

    Raises:
        ArgumentError: on an unknown ``inputs``, ``gradient`` or ``pad_value``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        *,
        inputs: str = "scaled",
        gradient: str = "paper",
        pad_value: float = 0,
        alpha: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        _check(inputs, gradient)
        if pad_value not in (0, 1, -1):
            raise ArgumentError("pad_value is not a sign", found=pad_value, expected="0, 1 or -1")
        if pad_value and inputs == "real":
            raise ArgumentError("real inputs are padded with 0", found=f"pad_value={pad_value}")
        self.inputs, self.gradient, self.pad_value, self.alpha = inputs, gradient, float(pad_value), alpha

    def forward(self, input: Tensor) -> Tensor:
        sign, alpha = _signs_and_scale(self)
        source = input if self.inputs == "real" else binary_sign(input)
        across, along = self._pads()
        if self.pad_value:
            source = F.pad(source, (along, along, across, across), value=self.pad_value)
            across = along = 0
        output = F.conv2d(source, sign, None, self.stride, (across, along), self.dilation, self.groups)
        if alpha is not None:
            output = output * alpha.view(-1, 1, 1)
        if self.inputs == "scaled":
            scale = input_scale(input, self.kernel_size, self.stride, self._pads(), self.dilation, self.groups)
            if self.groups not in (1, self.out_channels):  # each group's K for all its outputs; one alone broadcasts
                scale = F.conv2d(scale, scale.new_ones(self.out_channels, 1, 1, 1), groups=self.groups)
            output = output * scale
        return output if self.bias is None else output + self.bias.view(-1, 1, 1)

    def _pads(self) -> tuple[int, int]:
        return int(self.padding[0]), int(self.padding[1])

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, inputs={self.inputs}{'' if self.alpha else ', alpha=False'}"


class BinaryLinear(nn.Linear):
    """Fully connected layer with binary weights: :class:`BinaryConv2d` on a map of one pixel.

    K is the mean of |input| over the features of each image.

    Args:
        in_features: as in ``torch.nn.Linear``.
        out_features: as in ``torch.nn.Linear``.
        bias: added last, real; off by default.
        inputs: ``"real"``, ``"sign"`` or ``"scaled"``.
        gradient: see :func:`binary_weight`.
        alpha: False leaves the scale of each output out, as in :class:`BinaryConv2d`.

    Raises:
        ArgumentError: on an unknown ``inputs`` or ``gradient``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        inputs: str = "scaled",
        gradient: str = "paper",
        alpha: bool = True,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        _check(inputs, gradient)
        self.inputs, self.gradient, self.alpha = inputs, gradient, alpha

    def forward(self, input: Tensor) -> Tensor:
        sign, alpha = _signs_and_scale(self)
        output = F.linear(input if self.inputs == "real" else binary_sign(input), sign)
        if alpha is not None:
            output = output * alpha
        if self.inputs == "scaled":
            output = output * input.abs().mean(-1, keepdim=True)
        return output if self.bias is None else output + self.bias

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, inputs={self.inputs}{'' if self.alpha else ', alpha=False'}"


def _signs_and_scale(layer: BinaryConv2d | BinaryLinear) -> tuple[Tensor, Tensor | None]:
    if layer.alpha:
        return binary_weight(layer.weight, layer.gradient)
    return binary_sign(layer.weight), None


def _check(inputs: str, gradient: str) -> None:
    if inputs not in INPUTS:
        raise ArgumentError("unknown kind of inputs", found=repr(inputs), expected=" or ".join(INPUTS))
    if gradient not in GRADIENTS:
        raise ArgumentError("unknown gradient", found=repr(gradient), expected=" or ".join(GRADIENTS))


@torch.no_grad()
def center_and_clip(network: nn.Module) -> int:
    """Prepare the real weights of every binary layer for a step, in place, as the authors' code does before each batch.

    From every filter its mean over the input channels is taken away, position by position (where there is more than
    one channel, else nothing would be left), then weights are clipped to [-1, 1]. Layers without alpha are
    only clipped.

    Returns:
        Number of binary layers.

    Raises:
        ArgumentError: if the network has no binary layer.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, BinaryConv2d | BinaryLinear)]
    if not layers:
        raise ArgumentError("network has no binary layer", expected="BinaryConv2d or BinaryLinear")
    for layer in layers:
        if layer.alpha and layer.weight.shape[1] > 1:
            layer.weight -= layer.weight.mean(1, keepdim=True)
        layer.weight.clamp_(-1, 1)
    return len(layers)
