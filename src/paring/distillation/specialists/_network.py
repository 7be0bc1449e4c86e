"""A specialist's network: the generalist with its last layer re-cut to a few classes and a dustbin.

Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 5.2. The generalist answers with logits ``z_c = w_c . h + b_c``.
The specialist of the classes S keeps the rows of S and gets one more, the dustbin, which stands for all classes outside
S and should say ``log sum over c not in S of exp(z_c)``, the log of what the generalist gives them together. No linear
row can be that, so one of two stands for it at the start of training:

- the Gibbs bound with uniform weights: ``w = mean w_c, b = mean b_c + log r`` over the r classes outside. A log-sum-exp
  is never below ``sum pi_c z_c + H(pi)``, whatever the distribution pi; equal logits attain it.
- where the layer sees one vector ``h`` per image: from there, the row that loses the least cross-entropy against the
  generalist's own mass outside S on the images given. With ``a = log sum over S of exp(z_c)`` and ``t = 1 - p(S)`` this
  is a logistic regression ``t ~ sigmoid(w . h + b - a)``, convex, solved by Newton's method with a ridge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.layers import duplicate
from paring.training._distributed import device_of

#: Weight of the ridge that draws the dustbin's row to its start, per image; keeps separable images finite.
_RIDGE = 1e-3
#: How far the dustbin's logit is moved to see whether the classes' answers move with it.
_NUDGE = 3.0


@torch.no_grad()
def specialize(generalist: nn.Module, classes: Sequence[int], images: Tensor) -> nn.Module:
    """A copy of the generalist that tells ``classes`` apart and says "none of these".

    Args:
        generalist: answers images with ``(N, C)`` logits; unchanged. Trainable forms (pruned, shared weights) are
            copied, but for the re-cut layer, which becomes plain.
        classes: the m classes, distinct; output i of the result is ``classes[i]``, output m the dustbin.
        images: prepared ``(N, channels, H, W)``, some of the training set: the layer is found and checked on them and
            the dustbin's row fitted to them, so a few hundred are better than one.

    Returns:
        the network, ``(N, m + 1)`` logits, in eval mode, on the generalist's device. Its first m logits are the
        generalist's.

    Raises:
        ArgumentError: if the classes cannot be, no fully connected or 1x1 convolution layer gives the logits, or
            something behind that layer mixes the classes.
    """
    network = duplicate(generalist).eval()
    images = images.to(device_of(network))
    name, wanted, features = _watch(network, images)
    head = network.get_submodule(name)
    assert isinstance(head, (nn.Linear, nn.Conv1d, nn.Conv2d))
    count = wanted.shape[1]
    inside = check_classes(classes, count)
    weight, bias = _rows(head)
    row, offset = dustbin_row(weight, bias, inside, features)
    recut = _layer_like(head, torch.cat([weight[inside], row[None]]), torch.cat([bias[inside], offset[None]]))
    for path, module in list(network.named_modules(remove_duplicate=False)):
        if module is head:
            parent, _, last = path.rpartition(".")
            setattr(network.get_submodule(parent), last, recut)
    bias_of = recut.bias
    assert isinstance(bias_of, Tensor)
    try:
        bias_of[-1] += _NUDGE  # a fitted dustbin would hide a softmax: what classes answer must not depend on it
        found = network(images)
        bias_of[-1] = offset
    except RuntimeError as error:
        raise ArgumentError(
            "the network does not work with another number of classes", where=name, found=str(error).split("\n")[0]
        ) from None
    if found.shape != (len(images), len(inside) + 1) or not torch.allclose(
        found[:, :-1], wanted[:, inside], rtol=1e-3, atol=1e-4
    ):
        raise ArgumentError(
            "what stands behind the last layer mixes its classes, so it cannot be re-cut",
            where=name,
            found=f"answers of shape {tuple(found.shape)}",
            fix="Give a network that ends in logits (no softmax)",
        )
    return network


def check_classes(classes: Sequence[int], count: int) -> list[int]:
    """The classes as a list.

    Raises:
        ArgumentError: if they are none, repeated, all of the ``count``, or not among them.
    """
    inside = [int(c) for c in classes]
    if not inside or len(set(inside)) < len(inside) or not all(0 <= c < count for c in inside) or len(inside) == count:
        raise ArgumentError(
            "a specialist cannot have these classes", found=inside, expected=f"some, but not all, of 0 .. {count - 1}"
        )
    return inside


def classifier_head(network: nn.Module, images: Tensor) -> str:
    """The path of the layer that gives the classes: the last one called that is fully connected or a 1x1 convolution.

    Args:
        network: answers ``(N, C)``; run once on the images, in the mode it is in.
        images: prepared ``(N, channels, H, W)``.

    Raises:
        ArgumentError: if there is none, or it has other than C outputs; the message names the layers that ran last.
    """
    return _watch(network, images)[0]


def _watch(network: nn.Module, images: Tensor) -> tuple[str, Tensor, Tensor | None]:
    """The head's path, the network's answers and, where it is one vector for each image, the head's input."""
    calls: list[tuple[str, nn.Module, Tensor]] = []

    def listen(name: str):
        return lambda module, inputs, output: calls.append((name, module, inputs[0].detach()))

    hooks = [m.register_forward_hook(listen(name)) for name, m in network.named_modules() if not list(m.children())]
    hooks += [
        m.register_forward_hook(listen(name))
        for name, m in network.named_modules()
        if list(m.children()) and isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d))  # with a parametrization inside
    ]
    try:
        with torch.no_grad():
            answers = network(images.to(device_of(network)))
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(answers, Tensor) or answers.ndim != 2:
        shape = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise ArgumentError("the network does not answer with one row of logits an image", found=shape)
    linear = [call for call in calls if _is_linear(call[1])]
    if not linear or _outputs(linear[-1][1]) != answers.shape[1]:
        last = ", ".join(f"{name or 'the network'} ({type(module).__name__})" for name, module, _ in calls[-3:])
        raise ArgumentError(
            "no last layer gives the classes",
            where=linear[-1][0] if linear else None,
            found=f"last to run: {last}",
            expected=f"a fully connected layer or 1x1 convolution with {answers.shape[1]} outputs",
        )
    name, _, given = linear[-1]
    vectors = given.flatten(1) if given.ndim == 2 or given[0, 0].numel() == 1 else None
    return name, answers, vectors


def dustbin_row(
    weight: Tensor, bias: Tensor, inside: Sequence[int], features: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The dustbin's first row; see the head of this file.

    Args:
        weight: ``(C, F)`` or ``(C, F, ...)`` rows of the generalist's last layer.
        bias: ``(C,)``.
        inside: the specialist's classes.
        features: ``(N, F)`` inputs of that layer to fit the row to; the Gibbs bound alone if not given.

    Returns:
        row of the shape of ``weight[0]`` and bias, a scalar tensor.
    """
    outside = [c for c in range(len(weight)) if c not in set(inside)]
    row, offset = weight[outside].mean(0), bias[outside].mean() + math.log(len(outside))
    if features is None:
        return row, offset.to(bias.dtype)
    # On the processor, for not every device has float64.
    h = F.pad(features.cpu().double(), (0, 1), value=1.0)
    rows = torch.cat([weight.flatten(1), bias[:, None]], 1).cpu().double()
    logits = h @ rows.T
    threshold, mass = logits[:, inside].logsumexp(1), logits.softmax(1)[:, outside].sum(1)
    start = torch.cat([row.flatten(), offset[None]]).cpu().double()
    fitted = _logistic(h, mass, threshold, start).to(weight.device, weight.dtype)
    return fitted[:-1].view_as(row), fitted[-1].to(bias.dtype)


def _logistic(h: Tensor, target: Tensor, threshold: Tensor, start: Tensor, steps: int = 50) -> Tensor:
    """``argmin over w of mean(softplus(h w - threshold) - target (h w - threshold)) + ridge / 2 |w - start|^2``."""

    def cost(w: Tensor) -> Tensor:
        u = h @ w - threshold
        return (F.softplus(u) - target * u).mean() + _RIDGE / 2 * (w - start).square().sum()

    w, present = start.clone(), cost(start)
    ridge = _RIDGE * torch.eye(len(w), dtype=w.dtype, device=w.device)
    for _ in range(steps):
        sigmoid = (h @ w - threshold).sigmoid()
        slope = h.T @ (sigmoid - target) / len(h) + _RIDGE * (w - start)
        step = torch.linalg.solve(h.T @ (h * (sigmoid * (1 - sigmoid))[:, None]) / len(h) + ridge, slope)
        gain, length = float(slope @ step), 1.0  # twice what a quadratic would still gain
        if gain < 1e-14:
            break
        while (tried := cost(w - length * step)) > present - 0.25 * length * gain and length > 1e-10:
            length /= 2
        w, present = w - length * step, tried
    return w


def _is_linear(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear):
        return True
    return isinstance(module, (nn.Conv1d, nn.Conv2d)) and set(module.kernel_size) == {1} and module.groups == 1


def _outputs(module: nn.Module) -> int:
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels  # type: ignore[return-value]


def _rows(head: nn.Module) -> tuple[Tensor, Tensor]:
    weight, bias = head.weight, head.bias
    assert isinstance(weight, Tensor)
    weight = weight.detach()
    return weight, weight.new_zeros(len(weight)) if bias is None else bias.detach()  # type: ignore[operator]


def _layer_like(head: nn.Linear | nn.Conv1d | nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Module:
    made: nn.Linear | nn.Conv1d | nn.Conv2d
    if isinstance(head, nn.Linear):
        made = nn.Linear(weight.shape[1], len(weight), device=weight.device, dtype=weight.dtype)
    else:
        kind = nn.Conv1d if isinstance(head, nn.Conv1d) else nn.Conv2d
        made = kind(
            weight.shape[1],
            len(weight),
            1,
            stride=head.stride,  # type: ignore[arg-type]
            padding=head.padding,  # type: ignore[arg-type]
            device=weight.device,
            dtype=weight.dtype,
        )
    made.weight.copy_(weight)
    assert made.bias is not None
    made.bias.copy_(bias)
    return made.eval()
