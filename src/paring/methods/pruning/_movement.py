"""Movement pruning: weights that move towards zero in fine-tuning go, whatever their size.

Sanh, Wolf, Rush, "Movement pruning: adaptive sparsity by fine-tuning", NeurIPS 2020, arXiv 2005.07683, section 4. Each
weight has a score ``S`` that is trained with it through a straight-through mask:

    W' = W * M(S),      dL/dS = dL/dW' * W,      so that S accumulates  -rate * sum of W dL/dW'

The mask keeps the ``v`` scores that are largest in their layer (hard), or the scores above a threshold, with
``penalty * mean(sigmoid(S))`` added to the loss (soft). A masked weight gets no gradient; its score goes on, so it may
come back. Where the paper prunes a pre-trained network with few steps, magnitude keeps what was large before;
movement keeps what the new task needs.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Sparse
from paring.methods._amounts import Amount, Targets, number
from paring.methods._registry import method
from paring.methods._report import Report, Row
from paring.methods.pruning._magnitude import KEEP, Pruned
from paring.parametrize import FormParametrization, attach, places, round_half, select
from paring.parametrize._select import parametrization, value

THRESHOLD = Amount("threshold", "threshold on scores", "a number", number(-inf, inf), float)


def top_scores(scores: Tensor, keep: float) -> Tensor:
    """Mask of the ``round(keep * size)`` largest scores, bool of their shape; of equal ones, the first."""
    flat = scores.detach().reshape(-1)
    count = round(keep * flat.numel())
    if count in (0, flat.numel()):
        return torch.full_like(scores, bool(count), dtype=torch.bool)
    last = flat.kthvalue(flat.numel() - count + 1).values
    mask = flat > last
    ties = torch.nonzero(flat == last).reshape(-1)
    mask[ties[: count - int(mask.sum())]] = True
    return mask.reshape(scores.shape)


class _Masked(torch.autograd.Function):
    """``where(mask, weight, 0)``; backward, the weight's gradient is masked and the scores' is ``g * weight``."""

    @staticmethod
    def forward(ctx, weight: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(weight, mask)
        return torch.where(mask, weight, weight.new_zeros(()))

    @staticmethod
    def backward(ctx, *grads: Tensor):
        weight, mask = ctx.saved_tensors
        return torch.where(mask, grads[0], grads[0].new_zeros(())), grads[0] * weight, None


class MovementPruned(FormParametrization):
    """``weight = M(scores) * original``; ``scores`` is a parameter and is trained.

    Args:
        shape: the weight's.
        bits: 32, or 16 to train with weights rounded to half precision.
        soft: 1 for a threshold on the scores instead of the largest ones.
        level: fraction to keep; the threshold if soft.
    """

    kind = "movement"
    level: Tensor

    def __init__(self, shape: tuple[int, ...], bits: int = 32, soft: int = 0, level: float = 1.0) -> None:
        super().__init__()
        self.bits, self.soft = bits, soft
        self.scores = nn.Parameter(torch.zeros(shape))
        self.register_buffer("level", torch.tensor(float(level), dtype=torch.float64))

    @classmethod
    def blank(cls, shape: tuple[int, ...], bits: int = 32, soft: int = 0) -> MovementPruned:
        """One that keeps everything, to load a state into."""
        return cls(shape, bits, soft)

    def options(self) -> dict[str, int]:
        return {"bits": self.bits, "soft": self.soft}

    def mask(self) -> Tensor:
        """Which weights are kept now, bool of the weight's shape."""
        level = float(self.level)
        return self.scores.detach() > level if self.soft else top_scores(self.scores, level)

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        kept = _Masked.apply(original, self.scores, self.mask())
        return round_half(kept) if self.bits == 16 else kept

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight is its own original."""
        return weight

    def form(self, original: Tensor) -> Sparse:
        mask = self.mask().numpy(force=True)
        with torch.no_grad():
            dense = self.forward(original).numpy(force=True)
        return Sparse(mask, dense[mask], self.bits)


@method(
    "weights that move towards zero in training become zero",
    kind="pruning",
    form="sparse",
    page="pruning.md",
    amounts=(KEEP, THRESHOLD),
)
def prune_movement(
    module: nn.Module,
    targets: Targets = None,
    *,
    keep: Targets = None,
    amount: Targets = None,
    threshold: Targets = None,
    bits: int = 32,
) -> Report:
    """Give the selected weights scores, or bring those that have them to another share; then train.

    Args:
        module: the network, changed in place; make the optimizer afterwards, the scores are parameters.
        targets: as ``keep``; or patterns alone.
        keep: share of each layer to keep, 0..1, for all layers or by patterns.
        amount: share that becomes zero, instead.
        threshold: instead, a threshold on the scores; train with :func:`movement_penalty` added to the loss.
        bits: as for :func:`paring.methods.prune`.

    Returns:
        non-zero weights of each layer before and after.

    Raises:
        ArgumentError: if an amount cannot be, a pattern matches nothing, or a weight has another form.
    """
    soft = threshold is not None
    chosen = select(module, THRESHOLD.targets(targets, threshold) if soft else KEEP.targets(targets, keep, amount))
    there = places(module)
    for name in chosen:
        form = parametrization(there[name])
        if form is not None and not (isinstance(form, MovementPruned) and form.soft == int(soft)):
            raise ArgumentError(
                f"weight is already {form.kind}", where=name, fix="Bake it first: paring.parametrize.detach"
            )
    rows = []
    for name, level in chosen.items():
        form, before = parametrization(there[name]), int(torch.count_nonzero(value(there[name])))
        if form is None:
            weight = value(there[name])
            attach(there[name], MovementPruned(tuple(weight.shape), bits, int(soft), level).to(weight.device))
        else:
            assert isinstance(form, MovementPruned)
            form.level.fill_(level)
        rows.append(Row(name, before, int(torch.count_nonzero(value(there[name])))))
    return Report(
        method="prune_movement",
        unit="non-zero weights",
        rows=tuple(rows),
        summary=f"{len(rows)} weights have scores that are trained with them",
        network=module,
    )


def movement_penalty(module: nn.Module) -> Tensor:
    """Mean of ``sigmoid(scores)`` over all scores, scalar: what a soft threshold needs in the loss (equation 6)."""
    scores = [form.scores for form in module.modules() if isinstance(form, MovementPruned)]
    if not scores:
        raise ArgumentError("no weight has scores", fix="Call prune_movement first")
    return torch.cat([torch.sigmoid(s).reshape(-1) for s in scores]).mean()


def settle_movement(module: nn.Module) -> list[str]:
    """Turn scores into fixed masks (:class:`paring.methods.Pruned`) with the weights as they are; names changed."""
    done = []
    for name, place in places(module).items():
        form = parametrization(place)
        if isinstance(form, MovementPruned):
            mask, bits = form.mask(), form.bits
            attach(place, Pruned(mask, bits))
            done.append(name)
    return done
