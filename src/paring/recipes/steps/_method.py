"""Any registered method as a step: its options are the function's, what else it asks for comes from the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from paring.errors import ArgumentError
from paring.methods import find
from paring.recipes.steps._base import Change, State, Step
from paring.training.input import Batch
from paring.training.optim import cross_entropy

#: Images of a batch that a loss is asked about.
_BATCH = 64


def step(name: str, targets: Any = None, /, **options: Any) -> Step:
    """The step that applies a method to the network in hand.

    Args:
        name: of the method (:func:`paring.methods.find`).
        targets: how much, for all layers or by patterns, as the method takes it.
        options: the method's; and ``calibrate``, where it takes images: how many training images it is given.

    Raises:
        ArgumentError: if there is no such method, or an argument cannot be.
    """
    method = find(name)
    calibrate = options.pop("calibrate", method.calibrate)
    arguments = method.arguments(targets, options)
    if method.needs:
        if isinstance(calibrate, bool) or not isinstance(calibrate, int) or calibrate < 0:
            raise ArgumentError("invalid number of calibration images", found=calibrate, expected="0 or more")
        arguments["calibrate"] = calibrate
    elif calibrate:
        raise ArgumentError(f"{method.name} takes no images", found=f"calibrate={calibrate}")
    return Step(method.name.replace("_", "-"), arguments, _applied(method.name))


def maker(name: str) -> Callable[..., Step]:
    """:func:`step` for one method.

    Raises:
        ArgumentError: if there is none of this name.
    """
    method = find(name)

    def make(targets: Any = None, /, **options: Any) -> Step:
        return step(method.name, targets, **options)

    make.__name__ = make.__qualname__ = method.name
    make.__doc__ = f"A step: {method.about}. Arguments as in :func:`{method.apply.__module__}.{method.name}`."
    return make


def _applied(name: str) -> Callable[[State, Mapping[str, Any]], Change]:
    def do(state: State, options: Mapping[str, Any]) -> Change:
        method = find(name)
        rest = {key: value for key, value in options.items() if key != "calibrate"}
        report = method.apply(state.network, **rest, **_supplied(state, method.parameters, options.get("calibrate", 0)))
        state.changed(report.network)
        if report.before_step is not None:
            hooks = state.once if report.once else state.hooks
            if report.before_step not in hooks:
                hooks.append(report.before_step)
        return Change(report.summary, report.lines())

    return do


class _Batches:
    """The calibration images in batches with their labels, made when they are asked for; false if there are none."""

    def __init__(self, state: State, count: int) -> None:
        self.state, self.count = state, count

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[Batch]:
        if self.count:
            all_ = self.state.calibration(self.count)
            parts = zip(all_.images.split(_BATCH), all_.labels.split(_BATCH), all_.indices.split(_BATCH), strict=True)
            yield from (Batch(*part) for part in parts)


def _supplied(state: State, asked: Mapping[str, Any], calibrate: int) -> dict[str, Any]:
    """What the method asks for that is no option."""
    ready: dict[str, Callable[[], Any]] = {
        "images": lambda: state.calibration(calibrate).images if calibrate else None,
        "batches": lambda: _Batches(state, calibrate),
        "loss": cross_entropy,
        "example": lambda: state.shape,
        "seed": state.step_seed,
    }
    return {name: make() for name, make in ready.items() if name in asked}
