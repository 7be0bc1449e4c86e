"""Blocks several families share: convolution with what follows it, tables of Inception branches, first weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

Size = int | tuple[int, int]


class ConvBN(nn.Module):
    """Convolution, batch norm, ReLU: ``relu(bn(conv(x)))``.

    Args:
        channels: input channels.
        out: output channels.
        kernel: side of the window, or (height, width).
        stride: step of the window.
        padding: zeros around the map; None keeps the size at stride 1 (kernel // 2).
        eps: added to the variance under the root.
        bias: whether the convolution has a bias of its own although the norm's shift follows.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: Size,
        stride: int = 1,
        padding: Size | None = None,
        *,
        eps: float = 1e-3,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, same_padding(kernel, padding), bias=bias)
        self.bn = nn.BatchNorm2d(out, eps=eps)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class ConvReLU(nn.Module):
    """Convolution with bias, ReLU: the block of the years before batch norm. Arguments as in :class:`ConvBN`."""

    def __init__(self, channels: int, out: int, kernel: Size, stride: int = 1, padding: Size | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, same_padding(kernel, padding))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))


def same_padding(kernel: Size, padding: Size | None = None) -> Size:
    """``padding``, or where it is None half the (odd) window, which keeps the map's size at stride 1."""
    if padding is not None:
        return padding
    return kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)


class Conv(NamedTuple):
    """One convolution in a table of branches: the name its weights go by, output channels, window, stride, padding."""

    name: str
    out: int
    kernel: Size
    stride: int = 1
    padding: Size | None = None


Step = Conv | nn.Module | Sequence[Conv]


class Mixed(nn.Module):
    """An Inception module: branches over the same input, concatenated along the channels in the table's order.

    Args:
        channels: input channels.
        branches: one sequence of steps each. A step is a :class:`Conv` (built by ``unit``), a module without weights
            (a pool), or, at the end, a tuple of Convs that fork from one input. An empty branch passes the input
            through. A dot in a Conv's name makes a sub-module: ``branch1.0``.
        unit: what a Conv becomes, called as :class:`ConvBN` is.

    Attributes:
        channels: output channels.
    """

    def __init__(self, channels: int, *branches: Sequence[Step], unit: Callable[..., nn.Module] = ConvBN) -> None:
        super().__init__()
        self._plan: list[list[tuple[str, ...]]] = []
        self.channels = 0
        for number, branch in enumerate(branches):
            width = channels
            plan: list[tuple[str, ...]] = []
            for step in branch:
                if isinstance(step, nn.Module):
                    self.add_module(f"pool{number}", step)
                    plan.append((f"pool{number}",))
                    continue
                fork: Sequence[Conv] = (step,) if isinstance(step, Conv) else step
                for conv in fork:
                    self._put(conv.name, unit(width, *conv[1:]))
                plan.append(tuple(conv.name for conv in fork))
                width = sum(conv.out for conv in fork)
            self._plan.append(plan)
            self.channels += width

    def _put(self, path: str, module: nn.Module) -> None:
        *parents, leaf = path.split(".")
        node: nn.Module = self
        for parent in parents:
            if parent not in dict(node.named_children()):
                node.add_module(parent, nn.Module())
            node = node.get_submodule(parent)
        node.add_module(leaf, module)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for plan in self._plan:
            branch = [x]
            for names in plan:
                branch = [self.get_submodule(name)(branch[0]) for name in names]
            outputs += branch
        return torch.cat(outputs, 1)


class ToSymmetricRange(nn.Module):
    """Images normalized with ImageNet's mean and deviation, brought to [-1, 1], what TensorFlow's weights expect."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        scale = [deviation / 0.5 for deviation in (0.229, 0.224, 0.225)]
        shift = [(mean - 0.5) / 0.5 for mean in (0.485, 0.456, 0.406)]
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def init_he(model: nn.Module, linear_std: float | None = None) -> None:
    """Draw fresh weights: He et al. 2015 (arXiv 1502.01852), ``N(0, 2 / fan_out)`` for convolutions, zero biases.

    Args:
        model: changed in place; batch norms start at scale 1, shift 0.
        linear_std: standard deviation for fully connected layers; None leaves torch's own.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear_std is not None:
            nn.init.normal_(module.weight, 0.0, linear_std)
            nn.init.zeros_(module.bias)
