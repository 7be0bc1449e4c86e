"""Lowering rules of binary layers: signs and magnitudes of activations; signs of weights are constants."""

from __future__ import annotations

from typing import Any

from paring.capture._lower import Const, Lowering, Value, rule
from paring.capture._rules_activations import unary
from paring.capture._rules_arithmetic import affine


@rule("abs", "absolute")
def absolute(low: Lowering, x: Any) -> Value:
    """``|x|``."""
    return unary(low, x, "abs")


@rule("ge")
def greater_equal(low: Lowering, x: Any, limit: Any) -> Value:
    """Remembered until ``torch.where`` says what to make of it."""
    if isinstance(limit, Const) and limit.tensor.numel() == 1:
        limit = float(limit.tensor)
    if not isinstance(x, Value) or isinstance(limit, Value | Const):
        raise low.refusal("compares an activation with something other than a number")
    return Value(x.name, x.dims, x.storage, compared=float(limit))


@rule("where")
def where(low: Lowering, condition: Any, yes: Any, no: Any) -> Value:
    """``torch.where(x >= limit, yes, no)`` with numbers: a sign, scaled and shifted where they are not 1 and -1."""
    numbers = [float(n.tensor) if isinstance(n, Const) and n.tensor.numel() == 1 else n for n in (yes, no)]
    if not isinstance(condition, Value) or condition.compared is None or not all(map(_is_number, numbers)):
        raise low.refusal("where chooses between tensors", expected="torch.where(x >= number, number, number)")
    x = Value(condition.name, condition.dims)
    if condition.compared:
        x = affine(low, x, shift=-condition.compared)
    middle, half = (numbers[0] + numbers[1]) / 2, (numbers[0] - numbers[1]) / 2
    out = unary(low, x, "sign")
    out = out if half == 1 else affine(low, out, scale=half)
    return affine(low, out, shift=middle) if middle else out


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


@rule("sign", "sgn")
def sign(low: Lowering, x: Any) -> Value:
    """Refused: torch's sign of zero is zero, which is no bit."""
    raise low.refusal("torch.sign gives 0 at 0, which a bit cannot hold", fix="Use paring.layers.binary_sign")
