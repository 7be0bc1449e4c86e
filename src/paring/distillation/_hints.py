"""Hints: layers of the student learn to be a linear function away from layers of the teacher.

Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: hints for thin deep nets", ICLR 2015, arXiv 1412.6550,
equation 3: with ``u`` the map of the teacher's hint layer, ``v`` that of the student's guided layer and ``r`` a
regressor that is trained along, ``L = |u - r(v)|^2 / 2``. The regressor here is a 1x1 convolution (a fully connected
layer where the layers have no map), and the square is a mean over images, channels and places, so that the weight of a
hint does not depend on how large a map is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.training.input import Batch
from paring.training.optim import Loss


def check_weight(weight: float) -> None:
    """Raises ArgumentError on a weight of the hints that is not positive, whether there are hints or not."""
    if not 0 < weight < float("inf"):
        raise ArgumentError("invalid weight of the hints", found=weight, expected="a positive number")


class Hints(nn.Module):
    """A loss with hints: ``loss + weight * sum over pairs of mean((u - r(v))^2) / 2``.

    It is a module, because its regressors are trained: :func:`paring.training.run` takes their parameters, too, keeps
    them in its checkpoints, and they are gone with the loss when training ends. The teacher is no part of it; the one
    pass through the teacher that a distillation loss makes also serves the hints.

    Args:
        loss: of the answers, such as :func:`paring.distillation.distillation`; ``None`` for hints alone, the first
            stage of the paper.
        student: the network to be trained, only asked for the shapes of its layers.
        teacher: the network that gives the hints; put into eval mode.
        layers: path of a layer of the student to that of a layer of the teacher, as ``named_modules`` has them.
        images: a few prepared images ``(N, C, H, W)``, to measure the layers with.
        weight: of all hints together, positive.
        named: the part of the teacher whose layers are meant, such as the network that a wrapper calls after it has
            brought images to that network's normalization; the teacher itself if not given.

    Raises:
        ArgumentError: if a layer does not exist (with the nearest names), does not run exactly once, or two layers'
            maps differ in height or width.
    """

    def __init__(
        self,
        loss: Loss | None,
        student: nn.Module,
        teacher: nn.Module,
        layers: Mapping[str, str],
        images: Tensor,
        weight: float = 1.0,
        *,
        named: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_weight(weight)
        if not layers:
            raise ArgumentError("no layer is given a hint", expected="student.layer=teacher.layer")
        if student is teacher:
            raise ArgumentError("a network cannot be its own teacher", fix="Give the loss a copy of it")
        self.layers, self.weight = dict(layers), weight
        named = teacher if named is None else named
        self._unregistered = (loss, teacher, named)  # a tuple, so that none becomes a part of this module
        guided = _measured(student, student, list(self.layers), images, "student")
        hinted = _measured(teacher, named, list(self.layers.values()), images, "teacher")
        self.regressors = nn.ModuleList(
            _regressor(guided[ours], hinted[theirs], f"{ours}={theirs}") for ours, theirs in self.layers.items()
        )

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch."""
        loss, teacher, named = self._unregistered
        with watched(network, list(self.layers)) as guided, watched(named, list(self.layers.values())) as hinted:
            if loss is None:
                network(batch.images)
                total = batch.images.new_zeros(())
            else:
                total = loss(network, batch)
            if not any(hinted.values()):  # the answers came from elsewhere: from cached logits, or labels alone
                with torch.no_grad():
                    teacher.to(batch.images.device).eval()(batch.images)
        for regressor, (ours, theirs) in zip(self.regressors, self.layers.items(), strict=True):
            answer = regressor(guided[ours][-1])
            total = total + self.weight / 2 * F.mse_loss(answer.float(), hinted[theirs][-1].float())
        return total


@contextmanager
def watched(network: nn.Module, paths: list[str]) -> Iterator[dict[str, list[Tensor]]]:
    """While it lasts, what these layers give out is noted, by path, in the order of their calls."""
    found: dict[str, list[Tensor]] = {path: [] for path in paths}
    with ExitStack() as stack:
        for path in found:

            def note(module: nn.Module, inputs: object, output: Tensor, path: str = path) -> None:
                found[path].append(output)

            stack.enter_context(network.get_submodule(path).register_forward_hook(note))
        yield found


def _measured(
    network: nn.Module, named: nn.Module, paths: list[str], images: Tensor, whose: str
) -> dict[str, torch.Size]:
    """Shape of what each layer of ``named``, a part of the network, gives out for ``images``."""
    known = [path for path, _ in named.named_modules() if path and "parametrizations" not in path.split(".")]
    for path in paths:
        if path not in known:
            near = get_close_matches(path, known, 3, cutoff=0.4) or known[:3]
            raise ArgumentError(f"{whose} has no such layer", found=repr(path), expected=" or ".join(near))
    was = {module: module.training for module in network.modules()}
    network.eval()
    device = next((tensor.device for tensor in network.parameters()), images.device)
    try:
        with torch.no_grad(), watched(named, paths) as found:
            network(images.to(device))
    finally:
        for module, training in was.items():
            module.training = training
    for path, outputs in found.items():
        if len(outputs) != 1 or not isinstance(outputs[0], Tensor) or outputs[0].ndim not in (2, 4):
            kinds = ", ".join(str(getattr(o, "shape", type(o).__name__)) for o in outputs) or "it never runs"
            raise ArgumentError(
                f"{whose}'s layer cannot carry a hint", where=path, found=kinds, expected="one map or vector a pass"
            )
    return {path: outputs[0].shape for path, outputs in found.items()}


def _regressor(guided: torch.Size, hinted: torch.Size, where: str) -> nn.Module:
    if guided[2:] != hinted[2:]:
        raise ArgumentError(
            "layers of a hint differ in size",
            where=where,
            found=f"{tuple(guided[1:])} of the student",
            expected=f"height and width of {tuple(hinted[1:])}, the teacher's",
            fix="Choose layers of equal resolution",
        )
    if len(guided) == 4:
        return nn.Conv2d(guided[1], hinted[1], 1)
    return nn.Linear(guided[1], hinted[1])
