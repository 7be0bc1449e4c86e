"""Calls that torch spells out and the graph has one operator for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from paring.capture._program import Call, Program, Ref
from paring.capture._rules_codes import rounding_to_codes

_VIEWS = ("view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "contiguous", "clone")


def recognized(program: Program) -> Program:
    """The program with every spelt-out local response normalization as one ``local_response_norm`` call, and every
    rounding to codes and back as one ``round_to_codes``."""
    makers = {ref: call for call in program.calls for ref in call.outputs()}
    calls = [_response_norm(call, makers) or rounding_to_codes(call, makers, program) or call for call in program.calls]
    return replace(program, calls=calls)


def _response_norm(call: Call, makers: dict[Ref, Call]) -> Call | None:
    """``x / (k + alpha * mean over `size` channels of x^2) ** beta``, as torch writes it."""
    if call.op != "div" or len(call.args) < 2 or not isinstance(call.args[1], Ref):
        return None
    x = call.args[0]
    power = makers.get(call.args[1])
    add = _made(power, "pow", makers)
    mul = _made(add, "add", makers)
    if power is None or add is None or mul is None or not _number(power, add, mul):
        return None
    pool = _maker(mul.args[0], makers)
    padding = _maker(pool.args[0], makers) if pool is not None and pool.op in ("avg_pool2d", "avg_pool3d") else None
    if pool is None or padding is None or padding.op not in ("pad", "constant_pad_nd"):
        return None
    square = _maker(padding.args[0], makers)
    if square is None or square.op not in ("mul", "pow", "square") or square.args[0] != x:
        return None
    if (square.op == "mul" and square.args[1] != x) or (square.op == "pow" and square.args[1] != 2):
        return None
    window = [int(k) for k in pool.args[1]]
    size, amounts = window[0], [int(a) for a in padding.args[1]]
    behind_first = amounts[-2:] == [size // 2, (size - 1) // 2] and not any(amounts[:-2])
    if max(window[1:]) > 1 or any(s != 1 for s in pool.args[2]) or len(pool.args) > 3 or not behind_first:
        return None
    args = (x, size, mul.args[1], power.args[1], add.args[1])
    return Call("local_response_norm", call.target, args, {}, call.out, False, call.place)


def _maker(value: Any, makers: dict[Ref, Call]) -> Call | None:
    """The call that made a value, views skipped."""
    call = makers.get(value) if isinstance(value, Ref) else None
    while call is not None and call.op in _VIEWS:
        call = makers.get(call.args[0])
    return call


def _made(call: Call | None, op: str, makers: dict[Ref, Call]) -> Call | None:
    """The maker of ``call``'s first argument, if ``call`` is an ``op``."""
    return _maker(call.args[0], makers) if call is not None and call.op == op and call.args else None


def _number(*calls: Call) -> bool:
    return all(len(call.args) > 1 and isinstance(call.args[1], int | float) for call in calls)
