"""MobileNet v1: depthwise separable convolutions, thinned by a width multiplier and a resolution multiplier.

Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017, arXiv
1704.04861. Depthwise separable convolution is Sifre's (PhD thesis, 2014).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError, CheckpointError
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

PAPER = "Howard et al., MobileNets: efficient CNNs for mobile vision applications, 2017, arXiv 1704.04861"

#: Table 1 of the paper: (stride, output channels) of each separable layer after the 32-channel stem. The last one is
#: printed with stride 2, yet keeps 7x7: it is 1.
LAYERS = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *((1, 512), (1, 512), (1, 512), (1, 512), (1, 512)),
    *((2, 1024), (1, 1024)),
)
#: Layers the shallow variant of section 4.1 leaves out.
DEEP = range(6, 11)

#: width: parameters
PARAMETERS = {1.0: 4_231_976, 0.75: 2_585_560, 0.5: 1_331_592, 0.25: 470_072}
#: (width, resolution): MACs in millions, top-1 % and top-5 % of the slim checkpoints
GRID = {
    (1.0, 224): (568.74, 70.9, 89.9),
    (1.0, 192): (418.12, 70.0, 89.2),
    (1.0, 160): (290.68, 68.0, 87.7),
    (1.0, 128): (186.40, 65.2, 85.8),
    (0.75, 224): (325.40, 68.4, 88.2),
    (0.75, 192): (239.27, 67.2, 87.3),
    (0.75, 160): (166.40, 65.3, 86.0),
    (0.75, 128): (106.77, 62.1, 83.9),
    (0.5, 224): (149.50, 63.3, 84.9),
    (0.5, 192): (109.97, 61.7, 83.6),
    (0.5, 160): (76.52, 59.1, 81.9),
    (0.5, 128): (49.16, 56.3, 79.4),
    (0.25, 224): (41.03, 49.8, 74.2),
    (0.25, 192): (30.21, 47.7, 72.3),
    (0.25, 160): (21.06, 45.5, 70.3),
    (0.25, 128): (13.57, 41.5, 66.3),
}
TRAPS = (
    "the last depthwise layer has stride 1, although the paper's table prints 2",
    "slim's MACs of the 0.75 rows (317, 233, 162, 104 M) and of 0.25 at 192 (34 M) are wrong: 325, 239, 166, 107; 30",
    "569 M here; 575 and 580 M circulate and count batch norm and activations",
    'the paper says ReLU; TensorFlow\'s weights want activation="relu6", tf_padding=True, num_classes=1001',
)

#: timm's layers are grouped by map size: (stage, position) of each separable layer.
_TIMM = [(stage, position) for stage, count in enumerate((1, 2, 2, 6, 2)) for position in range(count)]
_HALVES = ("depthwise.conv", "depthwise.bn", "pointwise.conv", "pointwise.bn")
LAYOUTS = {
    "timm": (
        (r"^conv_stem\.", "stem.conv."),
        (r"^bn1\.", "stem.bn."),
        *(
            (rf"^blocks\.{stage}\.{position}\.{theirs}\.", f"layers.{layer}.{ours}.")
            for layer, (stage, position) in enumerate(_TIMM)
            for theirs, ours in zip(("conv_dw", "bn1", "conv_pw", "bn2"), _HALVES, strict=True)
        ),
    ),
    # the layout of the early PyTorch ports: one flat `model` of Sequentials
    "sequential": (
        (r"^model\.0\.0\.", "stem.conv."),
        (r"^model\.0\.1\.", "stem.bn."),
        *(
            (rf"^model\.{layer + 1}\.{position}\.", f"layers.{layer}.{ours}.")
            for layer in range(len(LAYERS))
            for position, ours in (
                (0, "depthwise.conv"),
                (1, "depthwise.bn"),
                (3, "pointwise.conv"),
                (4, "pointwise.bn"),
            )
        ),
        (r"^fc\.", "classifier."),
    ),
}


class ConvBN(nn.Sequential):
    """Convolution without bias, batch norm, activation; ``pad`` first where the sides are padded unequally."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int, groups: int, act: str, eps: float, size: int | None
    ) -> None:
        super().__init__()
        padding = kernel // 2
        if size is not None and stride > 1:
            # TensorFlow's "same": as little as the output size needs, the odd row and column at the end
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding = 0
            self.pad = nn.ZeroPad2d((total // 2, total - total // 2) * 2)
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=eps)
        self.act = nn.ReLU() if act == "relu" else nn.ReLU6()


class MobileNetV1(nn.Module):
    """``stem``, ``layers`` (each a ``depthwise`` and a ``pointwise`` convolution), global mean, ``classifier``.

    Args: those of :func:`mobilenet_v1`.

    Attributes:
        resolution: (height, width) in pixels that the network was made for; others work too.
    """

    def __init__(
        self,
        width_mult: float,
        resolution: int,
        num_classes: int,
        in_channels: int,
        activation: str,
        dropout: float,
        eps: float,
        shallow: bool,
        separable: bool,
        tf_padding: bool,
    ) -> None:
        super().__init__()
        self.resolution = (resolution, resolution)
        size = -(-resolution // 2)
        channels = scaled(32, width_mult)
        self.stem = ConvBN(in_channels, channels, 3, 2, 1, activation, eps, resolution if tf_padding else None)
        self.layers = nn.Sequential()
        for number, (stride, out) in enumerate(LAYERS):
            if shallow and number in DEEP:
                continue
            out, hint = scaled(out, width_mult), size if tf_padding else None
            if separable:
                layer = nn.Sequential()
                layer.add_module("depthwise", ConvBN(channels, channels, 3, stride, channels, activation, eps, hint))
                layer.add_module("pointwise", ConvBN(channels, out, 1, 1, 1, activation, eps, None))
            else:
                layer = ConvBN(channels, out, 3, stride, 1, activation, eps, hint)
            self.layers.append(layer)
            channels, size = out, -(-size // stride)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        init_he(self, linear_std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.layers(self.stem(x))
        return self.classifier(self.dropout(self.flatten(self.avgpool(x))))


def scaled(channels: int, width_mult: float) -> int:
    """Channels times the width multiplier, rounded down, at least 8: the rule of the published code."""
    return max(int(channels * width_mult), 8)


def _card(width: float, resolution: int) -> Card:
    macs, top1, top5 = GRID[width, resolution]
    return Card(
        paper=PAPER,
        year=2017,
        parameters=PARAMETERS[width],
        macs=macs * 1e6,
        resolution=(resolution, resolution),
        accuracy={
            "ImageNet 2012 val top-1 %": (top1, "TensorFlow slim, mobilenet_v1.md"),
            "ImageNet 2012 val top-5 %": (top5, "TensorFlow slim, mobilenet_v1.md"),
        },
        traps=TRAPS,
    )


def mobilenet_v1(
    *,
    width_mult: float = 1.0,
    resolution: int = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
    activation: str = "relu",
    dropout: float = 0.001,
    eps: float = 1e-3,
    shallow: bool = False,
    separable: bool = True,
    tf_padding: bool = False,
) -> MobileNetV1:
    """MobileNet v1 of any width, for images of any resolution.

    Args:
        width_mult: alpha of the paper: every layer's channels are multiplied by it (:func:`scaled`).
        resolution: side of the images in pixels; rho of the paper times 224. Only ``tf_padding`` depends on it.
        num_classes: outputs.
        in_channels: channels of the image.
        activation: "relu" (the paper) or "relu6" (the published weights).
        dropout: before the classifier.
        eps: of every batch norm.
        shallow: without the five layers of 512 channels at 14x14 (table 5 of the paper).
        separable: False makes every layer a full 3x3 convolution (table 4 of the paper).
        tf_padding: pad strided layers as TensorFlow does, at the right and at the bottom where the size is even.

    Raises:
        ArgumentError: on a width or resolution that is not positive, or an unknown activation.
    """
    if width_mult <= 0 or resolution < 1:
        raise ArgumentError("width or resolution is not positive", found=(width_mult, resolution))
    if activation not in ("relu", "relu6"):
        raise ArgumentError("unknown activation", found=repr(activation), expected="'relu' or 'relu6'")
    return MobileNetV1(
        width_mult, resolution, num_classes, in_channels, activation, dropout, eps, shallow, separable, tf_padding
    )


register("mobilenet_v1", card=_card(1.0, 224))(mobilenet_v1)
for _width, _resolution in GRID:
    if (_width, _resolution) != (1.0, 224):
        _name = f"mobilenet_v1_{round(100 * _width):03d}_{_resolution}"
        register(_name, card=_card(_width, _resolution), width_mult=_width, resolution=_resolution)(mobilenet_v1)
register(
    "mobilenet_v1_shallow",
    card=Card(
        paper=PAPER,
        year=2017,
        parameters=2_887_976,
        macs=307.32e6,
        accuracy={"ImageNet 2012 val top-1 %": (65.3, "the paper, table 5")},
        traps=("narrow and deep beats this at the same cost: width 0.75 has 68.4 %",),
    ),
    shallow=True,
)(mobilenet_v1)
register(
    "mobilenet_v1_full",
    card=Card(
        paper=PAPER,
        year=2017,
        parameters=29_294_088,
        macs=4867.29e6,
        accuracy={"ImageNet 2012 val top-1 %": (71.7, "the paper, table 4")},
        traps=("the paper's yardstick, with full 3x3 convolutions: not a network to use",),
    ),
    separable=False,
)(mobilenet_v1)


def from_slim(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Turn the variables of a TensorFlow slim MobileNet v1 into a state dict of :func:`mobilenet_v1`.

    Kernels are transposed to torch's order; optimizer slots, moving averages of weights and the step are left out.

    Args:
        variables: name, such as ``MobilenetV1/Conv2d_1_depthwise/depthwise_weights``, to array.

    Raises:
        CheckpointError: if none of the names is slim's.
    """
    batch_norm = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    state: dict[str, Tensor] = {}
    for name, value in variables.items():
        tensor = torch.from_numpy(np.array(value, dtype=np.float32))
        if found := re.fullmatch(r"MobilenetV1/Conv2d_(\d+)(?:_(\w+))?/(\w*weights|BatchNorm/(\w+))", name):
            number, half, what, statistic = found.groups()
            path = f"layers.{int(number) - 1}.{half}" if half else "stem"
            if statistic in batch_norm:
                state[f"{path}.bn.{batch_norm[statistic]}"] = tensor
            elif what in ("weights", "depthwise_weights"):
                # (kh, kw, in, out), or (kh, kw, channels, 1) for a depthwise kernel
                order = (2, 3, 0, 1) if what == "depthwise_weights" else (3, 2, 0, 1)
                state[f"{path}.conv.weight"] = tensor.permute(order).contiguous()
        elif name == "MobilenetV1/Logits/Conv2d_1c_1x1/weights":
            state["classifier.weight"] = tensor[0, 0].T.contiguous()
        elif name == "MobilenetV1/Logits/Conv2d_1c_1x1/biases":
            state["classifier.bias"] = tensor
    if not state:
        raise CheckpointError("no variable of a slim MobileNet v1", found=sorted(variables)[:3])
    return state
