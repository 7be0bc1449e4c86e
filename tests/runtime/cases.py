"""One-operator graphs for every operator, with what torch computes for each; shared by the runtime's tests."""

import numpy as np
import torch
import torch.nn.functional as F

from paring.forms import Dense
from paring.graph import Graph, Node


def single(op, shape, attrs=None, weights=None, second=None):
    """A graph of one node; ``weights`` by role, ``second`` the shape of a second input."""
    inputs = {"x": shape} if second is None else {"x": shape, "y": second}
    forms = {f"n.{role}": array if hasattr(array, "dense") else Dense(array) for role, array in (weights or {}).items()}
    node = Node("n", op, tuple(inputs), attrs or {}, {role: f"n.{role}" for role in weights or {}})
    return Graph(inputs, [node], ("n",), forms)


def rand(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def chw(x):
    return torch.from_numpy(np.moveaxis(np.ascontiguousarray(x), -1, 1).copy())


def hwc(t):
    return np.moveaxis(t.numpy(), 1, -1)


def conv(shape, out, kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, bias=True):
    weight = rand(1, out, shape[2] // groups, *kernel)
    weights = {"weight": weight} | ({"bias": rand(2, out)} if bias else {})
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def judge(x):
        top, bottom, left, right = padding
        padded = F.pad(chw(x), (left, right, top, bottom))
        b = torch.from_numpy(weights["bias"]) if bias else None
        return hwc(F.conv2d(padded, torch.from_numpy(weight), b, stride, 0, dilation, groups))

    return single("conv2d", shape, attrs, weights), judge


def transposed(shape, out, kernel, stride=(1, 1), pad=(0, 0), extra=(0, 0), dilation=(1, 1), groups=1, bias=True):
    weight = rand(1, shape[2], out // groups, *kernel)
    weights = {"weight": weight} | ({"bias": rand(2, out)} if bias else {})
    attrs = {"stride": stride, "padding": (pad[0], pad[0], pad[1], pad[1]), "output_padding": extra}
    attrs |= {"dilation": dilation, "groups": groups}

    def judge(x):
        b = torch.from_numpy(weights["bias"]) if bias else None
        w = torch.from_numpy(weight)
        return hwc(F.conv_transpose2d(chw(x), w, b, stride, pad, extra, groups, dilation))

    return single("conv_transpose2d", shape, attrs, weights), judge


def uneven(shape, out, kernel, stride, padding):
    """Padding that differs by side, which torch's operator has not: cut off by hand."""
    weight, (top, bottom, left, right) = rand(1, shape[2], out, *kernel), padding

    def judge(x):
        full = F.conv_transpose2d(chw(x), torch.from_numpy(weight), None, stride)
        return hwc(full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right])

    return single("conv_transpose2d", shape, {"stride": stride, "padding": padding}, {"weight": weight}), judge


def linear(size, out, bias=True):
    weight = rand(1, out, size)
    weights = {"weight": weight} | ({"bias": rand(2, out)} if bias else {})
    b = torch.from_numpy(weights["bias"]) if bias else None
    return single("linear", (size,), weights=weights), lambda x: F.linear(
        torch.from_numpy(x), torch.from_numpy(weight), b
    ).numpy()


def max_pool(shape, kernel, stride, pad=(0, 0), dilation=(1, 1), ceil=False):
    attrs = {"kernel": kernel, "stride": stride, "padding": (pad[0], pad[0], pad[1], pad[1])}
    attrs |= {"dilation": dilation, "ceil_mode": ceil}
    return single("max_pool", shape, attrs), lambda x: hwc(F.max_pool2d(chw(x), kernel, stride, pad, dilation, ceil))


def avg_pool(shape, kernel, stride, pad=(0, 0), ceil=False, count=True):
    attrs = {"kernel": kernel, "stride": stride, "padding": (pad[0], pad[0], pad[1], pad[1])}
    attrs |= {"ceil_mode": ceil, "count_include_pad": count}
    return single("avg_pool", shape, attrs), lambda x: hwc(F.avg_pool2d(chw(x), kernel, stride, pad, ceil, count))


def by_torch(op, shape, function, attrs=None, weights=None, second=None):
    """A case whose judge works on torch tensors in NHWC as they are."""
    return single(op, shape, attrs, weights, second), lambda *x: function(*map(torch.from_numpy, x)).numpy()


def by_channels(op, shape, function, attrs=None, weights=None):
    """A case whose judge works on torch tensors in NCHW."""
    return single(op, shape, attrs, weights), lambda x: hwc(function(chw(x)))


def adaptive(shape, size):
    return by_channels("adaptive_avg_pool", shape, lambda x: F.adaptive_avg_pool2d(x, size), {"size": size})


S = (5, 6, 7)
SCALE, SHIFT, SLOPE = rand(3, 7), rand(4, 7), rand(5, 7)
CASES = {
    "conv 3x3": conv((7, 6, 5), 9, (3, 3), padding=(1, 1, 1, 1)),
    "conv 1x1": conv((7, 6, 5), 33, (1, 1)),
    "conv one pixel": conv((1, 1, 3), 70, (1, 1), bias=False),
    "conv stride": conv((9, 8, 4), 17, (3, 2), (2, 3), (1, 0, 2, 1)),
    "conv dilation": conv((11, 12, 3), 4, (3, 3), (1, 2), (2, 2, 2, 2), (2, 3)),
    "conv groups": conv((6, 6, 12), 18, (3, 3), padding=(1, 1, 1, 1), groups=3),
    "conv wide": conv((4, 5, 20), 130, (3, 3), padding=(1, 1, 1, 1)),
    "conv wholly padded taps": conv((2, 2, 3), 5, (5, 5), padding=(4, 4, 4, 4)),
    "conv 16 to 64": conv((9, 9, 16), 64, (3, 3), (2, 2), (0, 1, 0, 1)),
    "depthwise": conv((7, 9, 21), 21, (3, 3), padding=(1, 1, 1, 1), groups=21),
    "depthwise stride": conv((9, 20, 16), 16, (3, 3), (2, 2), (1, 1, 1, 1), groups=16),
    "depthwise wide": conv((8, 23, 32), 32, (5, 5), (1, 1), (2, 2, 2, 2), groups=32, bias=False),
    "depthwise dilation": conv((8, 9, 3), 3, (3, 3), (1, 1), (2, 1, 0, 3), (2, 2), groups=3),
    "depthwise multiplier": conv((6, 6, 4), 12, (3, 3), groups=4),
    "many groups": conv((3, 3, 130), 65, (2, 2), groups=65),
    "huge kernel": conv((70, 66, 1), 2, (68, 65), groups=1),
    "transposed": transposed((5, 6, 7), 9, (3, 3), (2, 2), (1, 1), (1, 1)),
    "transposed plain": transposed((4, 3, 5), 4, (2, 3), bias=False),
    "transposed gaps": transposed((4, 5, 3), 2, (2, 2), (3, 4), (0, 1), (2, 1)),
    "transposed dilation": transposed((5, 4, 6), 4, (3, 2), (1, 2), (2, 1), (1, 0), (2, 3), groups=2),
    "transposed depthwise": transposed((6, 6, 24), 24, (2, 2), (2, 2), groups=24, bias=False),
    "transposed multiplier": transposed((3, 4, 4), 12, (3, 3), (2, 1), (1, 1), groups=4),
    "transposed uneven": uneven((4, 5, 3), 6, (4, 3), (2, 2), (0, 3, 1, 2)),
    "linear": linear(37, 19),
    "linear wide": linear(64, 150, bias=False),
    "linear one": linear(1, 1),
    "scale_shift": by_torch(
        "scale_shift",
        S,
        lambda x: x * torch.from_numpy(SCALE) + torch.from_numpy(SHIFT),
        None,
        {"scale": SCALE, "shift": SHIFT},
    ),
    "relu": by_torch("relu", S, F.relu),
    "clip": by_torch("clip", S, lambda x: x.clamp(-0.5, 0.25), {"low": -0.5, "high": 0.25}),
    "leaky_relu": by_torch("leaky_relu", S, lambda x: F.leaky_relu(x, 0.2), {"slope": 0.2}),
    "sigmoid": by_torch("sigmoid", S, lambda x: torch.sigmoid(x)),
    "tanh": by_torch("tanh", S, torch.tanh),
    "hard_sigmoid": by_torch("hard_sigmoid", S, F.hardsigmoid),
    "hard_swish": by_torch("hard_swish", S, F.hardswish),
    "silu": by_torch("silu", S, F.silu),
    "gelu": by_torch("gelu", S, F.gelu),
    "sign": by_torch("sign", S, lambda x: 1.0 - 2.0 * (x < 0).float()),
    "abs": by_torch("abs", S, torch.abs),
    "softmax": by_torch("softmax", (37,), lambda x: F.softmax(x, -1)),
    "softmax map": by_torch("softmax", S, lambda x: F.softmax(x, -1)),
    "prelu": by_channels("prelu", S, lambda x: F.prelu(x, torch.from_numpy(SLOPE)), None, {"slope": SLOPE}),
    "max_pool": max_pool((6, 8, 20), (2, 2), (2, 2)),
    "max_pool overlapping": max_pool((13, 13, 5), (3, 3), (2, 2), (1, 1)),
    "max_pool ceil": max_pool((6, 7, 3), (3, 3), (2, 2), (0, 0), (1, 1), True),
    "max_pool ceil pad": max_pool((6, 7, 3), (2, 3), (2, 2), (1, 1), (1, 1), True),
    "max_pool dilation": max_pool((9, 9, 4), (3, 2), (1, 2), (1, 1), (2, 3)),
    "max_pool empty window": max_pool((2, 4, 3), (2, 2), (1, 1), (1, 1), (3, 3)),
    "avg_pool": avg_pool((6, 8, 20), (2, 2), (2, 2)),
    "avg_pool pad": avg_pool((6, 8, 5), (3, 3), (2, 2), (1, 1)),
    "avg_pool inside": avg_pool((6, 8, 5), (3, 3), (2, 2), (1, 1), count=False),
    "avg_pool ceil": avg_pool((6, 7, 3), (3, 2), (2, 2), (1, 1), True),
    "avg_pool ceil inside": avg_pool((6, 7, 3), (3, 2), (2, 2), (1, 1), True, False),
    "adaptive": by_channels(
        "adaptive_avg_pool", (7, 10, 3), lambda x: F.adaptive_avg_pool2d(x, (3, 4)), {"size": (3, 4)}
    ),
    "adaptive up": by_channels(
        "adaptive_avg_pool", (3, 2, 3), lambda x: F.adaptive_avg_pool2d(x, (5, 7)), {"size": (5, 7)}
    ),
    "global": by_torch("global_avg_pool", (7, 5, 19), lambda x: x.mean((1, 2))),
    "channel_mean": by_torch("channel_mean", (7, 5, 19), lambda x: x.mean(-1, keepdim=True)),
    "channel_mean of one": by_torch("channel_mean", (3, 4, 1), lambda x: x),
    "channel_mean of a vector": by_torch("channel_mean", (37,), lambda x: x.mean(-1, keepdim=True)),
    "flatten chw": (single("flatten", S, {"order": "chw"}), lambda x: chw(x).flatten(1).numpy()),
    "flatten hwc": by_torch("flatten", S, lambda x: x.flatten(1), {"order": "hwc"}),
    "flatten rows": by_torch("flatten", (3, 4), lambda x: x.transpose(1, 2).flatten(1), {"order": "chw"}),
    "add": by_torch("add", S, torch.add, second=S),
    "add channel": by_torch("add", S, lambda x, y: x + y[:, None, None], second=(7,)),
    "mul": by_torch("mul", (19,), torch.mul, second=(19,)),
    "mul map": by_torch("mul", S, torch.mul, second=(1, 1, 7)),
    "mul pixel": by_torch("mul", S, torch.mul, second=(5, 6, 1)),
    "add pixel": by_torch("add", S, torch.add, second=(5, 6, 1)),
    "mul vector by one": by_torch("mul", (19,), torch.mul, second=(1,)),
    "concat": by_torch("concat", S, lambda x, y: torch.cat((x, y), -1), second=(5, 6, 3)),
    "slice": by_torch("slice_channels", S, lambda x: x[..., 2:5], {"start": 2, "stop": 5}),
    "shuffle": by_channels("channel_shuffle", (3, 3, 12), lambda x: F.channel_shuffle(x, 3), {"groups": 3}),
    "subsample": by_torch("subsample", S, lambda x: x[:, ::2, ::3], {"stride": (2, 3)}),
    "pad": by_torch("pad", S, lambda x: F.pad(x, (4, 3, 2, 0, 1, 2)), {"padding": (1, 2, 2, 0), "channels": (4, 3)}),
    "lrn": by_channels(
        "lrn", (3, 4, 11), lambda x: F.local_response_norm(x, 5, 0.7, 0.75, 2.0), {"alpha": 0.7, "k": 2.0}
    ),
    "lrn even": by_channels(
        "lrn", (3, 4, 6), lambda x: F.local_response_norm(x, 4, 0.5, 0.6), {"size": 4, "alpha": 0.5, "beta": 0.6}
    ),
    "lrn wide": by_channels("lrn", (2, 2, 5), lambda x: F.local_response_norm(x, 9, 0.5), {"size": 9, "alpha": 0.5}),
}


def inputs_of(graph, batch, seed=0):
    """Random inputs: an array, or a dict if there are several."""
    arrays = {name: rand(seed + i, batch, *shape) for i, (name, shape) in enumerate(graph.inputs.items())}
    return arrays if len(arrays) > 1 else arrays["x"]
