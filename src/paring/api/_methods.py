"""``paring.prune``, ``paring.prune_channels`` and ``paring.prepare_qat``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from paring import methods
from paring.api._network import classes_of, example_of, preparation_of, shape_of_rebuilt
from paring.api._quantize import CALIBRATION, calibrating, float_graph
from paring.capture import Rebuilt, rebuild
from paring.errors import ArgumentError

#: Keyword for each of the two ways to say how much is pruned.
Fractions = float | Mapping[str, float]


def prune(
    net: nn.Module,
    *wrong: Any,
    keep: Fractions | None = None,
    amount: Fractions | None = None,
    bits: int = 32,
) -> int:
    """Set the smallest weights of a module to zero, for good: they stay zero while it is trained, and in the file.

    Args:
        net: changed in place.
        wrong: nothing; a fraction without its name could be either of the next two.
        keep: fraction of each layer's weights to keep, 0..1, for all layers or by patterns on their names
            (``{"fc*": 0.05}``).
        amount: fraction to remove, likewise, as torch's ``prune`` counts; in place of ``keep``.
        bits: 32, or 16 to train and store the survivors in half precision.

    Returns:
        number of weights that became zero.

    Raises:
        ArgumentError: if a fraction cannot be or a pattern matches no layer.
    """
    if wrong or (keep is None) == (amount is None):
        found = f"prune(net, {wrong[0]!r})" if wrong else "both" if keep is not None else "neither"
        cure = "Write keep=0.2 to keep a fifth of the weights, amount=0.2 to remove a fifth"
        raise ArgumentError("how much is to stay is not said", found=found, expected="keep= or amount=", fix=cure)
    _check_module(net)
    wanted = keep if keep is not None else amount
    targets: dict[str, Any] = dict(wanted) if isinstance(wanted, Mapping) else {"*": wanted}
    for pattern, fraction in targets.items():
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            what = f"invalid fraction of weights to {'keep' if keep is not None else 'remove'}"
            raise ArgumentError(what, where=repr(pattern), found=repr(fraction), expected="0 to 1")
    kept = {pattern: float(part if keep is not None else 1 - part) for pattern, part in targets.items()}
    return methods.prune(net, kept, bits=bits)


def prune_channels(net: Any, example: Any = None, keep: Any = None, **options: Any) -> Rebuilt:
    """A smaller network: the channels that matter least are gone, with everything that goes with them.

    Args:
        net: a module, left as it is; or a model.
        example: an input, or its shape ``(C, H, W)``; not needed for a model or what this returned.
        keep: fraction of its channels each layer keeps, by patterns on layers' names; or one fraction for all.
        options: ``macs`` or ``parameters`` to come down to, a fraction of this network's up to 1, a number above;
            and any argument of :func:`paring.methods.cut_channels`.

    Returns:
        the smaller network, to be fine-tuned, in eval mode; its ``pruning`` says what was cut.

    Raises:
        ArgumentError: if a target cannot be or cannot be met, or a pattern matches nothing.
        GraphError: if the network cannot be captured.
    """
    if not isinstance(net, nn.Module):
        net = rebuild(net)
    if example is None and isinstance(net, Rebuilt):
        example = shape_of_rebuilt(net)
    if example is None:
        raise ArgumentError("shape of the input is not known", expected="an input, or its shape (C, H, W)")
    if isinstance(keep, int | float):
        keep = {"*": float(keep)}
    made = methods.cut_channels(net, example_of(example), keep, **options)
    made.network.pruning = made.pruning  # type: ignore[assignment]
    return marked(made.network, net)


def prepare_qat(
    net: Any, images: Any, *, bits: Any = 8, limit: int = CALIBRATION, scales: str = "learned", **options: Any
) -> nn.Module:
    """A module that computes with the integers of the quantized network, to be trained as any other.

    Args:
        net: as for :func:`paring.quantize`.
        images: likewise.
        bits: width of the weights, 2 to 8, or by patterns.
        limit: so many images are looked at.
        scales: ``learned`` or ``held`` in training.
        options: as for :func:`paring.quantize`, and ``norm_delay`` of :func:`paring.methods.quantization_aware`.

    Returns:
        the module; :func:`paring.export` writes its integers.

    Raises:
        ArgumentError, DataError, GraphError: as :func:`paring.quantize`.
    """
    delay = {"norm_delay": options.pop("norm_delay")} if "norm_delay" in options else {}
    calibration, preparation = calibrating(net, images, limit, options)
    graph, norms = float_graph(net, calibration)
    made = methods.quantize(graph, calibration, weights=bits, norms=norms or None, **options)
    return marked(methods.quantization_aware(made, scales=scales, **delay), net, preparation)


def marked(made: Any, net: Any, preparation: Any = None) -> Any:
    """What was made of a network knows what that knew about its pictures and classes."""
    preparation = preparation or preparation_of(net)
    if preparation is not None:
        made.preparation = preparation
    if classes := classes_of(net):
        made.classes = classes
    return made


def _check_module(net: Any) -> None:
    if not isinstance(net, nn.Module):
        cure = "A model becomes one with to_torch()" if hasattr(net, "to_torch") else None
        raise ArgumentError("not a module", found=type(net).__name__, expected="an nn.Module", fix=cure)
