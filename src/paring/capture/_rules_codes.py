"""Rounding to codes and back: a pattern of four calls, and the rule that lowers it to ``quantize``, ``dequantize``.

    torch.round(x / s).clamp(0, 2**k - 1) * s           k = 1 .. 8, s one number or tensor of one

is what these operators compute, bit for bit but for NaN (``docs/reference/arithmetic.md``), and how
:class:`paring.layers.ClippedQuantizer` is written. Codes of one bit are codes of two, of an ``x`` clipped to [0, s].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from paring.capture._lower import Const, Lowering, Value, rule
from paring.capture._program import Call, Program, Ref
from paring.capture._rules_activations import unary
from paring.errors import ArgumentError
from paring.graph import QuantParams


def rounding_to_codes(call: Call, makers: dict[Ref, Call], program: Program) -> Call | None:
    """The four calls as one ``round_to_codes(x, s, most)``, if ``call`` is the last of them."""
    if call.op != "mul" or len(call.args) != 2:
        return None
    clamp = _maker(call.args[0], "clamp", makers)
    rounding = _maker(clamp.args[0], "round", makers) if clamp is not None else None
    division = _maker(rounding.args[0], "div", makers) if rounding is not None else None
    if clamp is None or rounding is None or division is None or rounding.kwargs or division.kwargs:
        return None
    scale, again = _number(division.args[1], program), _number(call.args[1], program)
    if scale is None or scale != again or len(clamp.args) != 3 or len(rounding.args) != 1:
        return None
    low, most = clamp.args[1:]
    if low != 0 or most not in [(1 << bits) - 1 for bits in range(1, 9)]:
        return None
    # the scale goes on as it is: a trained one is a parameter that is read
    args = (division.args[0], division.args[1], int(most))
    return Call("round_to_codes", call.target, args, {}, call.out, False, call.place)


def _maker(value: Any, op: str, makers: dict[Ref, Call]) -> Call | None:
    """The call that made a value, if it is an ``op`` out of place."""
    call = makers.get(value) if isinstance(value, Ref) else None
    return call if call is not None and call.op == op and not call.inplace else None


def _number(value: Any, program: Program) -> float | None:
    """A number, or a constant of one element, as float32."""
    if isinstance(value, Ref):
        tensor = program.constants.get(value)
        return None if tensor is None or tensor.numel() != 1 else float(tensor.detach().float())
    return float(np.float32(value)) if isinstance(value, int | float) else None


@rule("round_to_codes")
def round_to_codes(low: Lowering, x: Any, scale: Any, most: int) -> Value:
    """Found by :func:`rounding_to_codes`."""
    low.expect_value(x)
    scale = float(scale.tensor.detach().float()) if isinstance(scale, Const) else float(np.float32(scale))
    try:
        codes = QuantParams(scale, 0, max(2, most.bit_length()))
    except ArgumentError as error:
        raise low.refusal(error.what, error.found, error.expected) from None
    if most == 1:
        x = unary(low, x, "clip", low=0.0, high=scale)
    return unary(low, unary(low, x, "quantize", **codes.attrs()), "dequantize")
