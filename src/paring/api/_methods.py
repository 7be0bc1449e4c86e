"""``paring.prune``, ``paring.prune_channels`` and ``paring.prepare_qat``."""

from __future__ import annotations

from typing import Any

from torch import nn

from paring import methods
from paring.api._network import classes_of, example_of, preparation_of, shape_of_rebuilt, unwrapped
from paring.api._quantize import CALIBRATION, calibrating, float_graph
from paring.capture import Rebuilt, rebuild
from paring.errors import ArgumentError
from paring.methods import Report
from paring.methods._amounts import Targets
from paring.methods.integer.qat import quantization_aware
from paring.parametrize import settle


def prune(net: nn.Module, *wrong: Any, keep: Targets = None, amount: Targets = None, **options: Any) -> Report:
    """Set the smallest weights of a module to zero, for good: they stay zero while it is trained, and in the file.

    Args:
        net: changed in place; weight norm, spectral norm and masks of torch's are folded into its weights first, which
            is warned of.
        wrong: nothing; a share without its name could be either of the next two.
        keep: share of each layer's weights to keep, 0..1, for all layers or by patterns on their names
            (``{"fc*": 0.05}``).
        amount: share to remove, likewise, as torch's ``prune`` counts; in place of ``keep``.
        options: further arguments of :func:`paring.methods.prune`.

    Returns:
        non-zero weights of each layer before and after.

    Raises:
        ArgumentError: if a share cannot be or a pattern matches no layer.
    """
    if wrong or (keep is None) == (amount is None):
        found = f"prune(net, {wrong[0]!r})" if wrong else "both" if keep is not None else "neither"
        cure = "Write keep=0.2 to keep a fifth of the weights, amount=0.2 to remove a fifth"
        raise ArgumentError("how much is to stay is not said", found=found, expected="keep= or amount=", fix=cure)
    _check_module(net)
    settle(net)
    return methods.prune(net, keep=keep, amount=amount, **options)


def prune_channels(net: Any, example: Any = None, keep: Any = None, **options: Any) -> Rebuilt:
    """A smaller network: the channels that matter least are gone, with everything that goes with them.

    Args:
        net: a module, left as it is; or a model.
        example: an input, or its shape ``(C, H, W)``; not needed for a model or what this returned.
        keep: fraction of its channels each layer keeps, by patterns on layers' names; or one fraction for all.
        options: ``macs`` or ``parameters`` to come down to, a fraction of this network's up to 1, a number above;
            and any argument of :func:`paring.methods.prune_channels`.

    Returns:
        the smaller network, to be fine-tuned, in eval mode; its ``report`` says what was cut.

    Raises:
        ArgumentError: if a target cannot be or cannot be met, or a pattern matches nothing.
        GraphError: if the network cannot be captured.
    """
    net = unwrapped(net) if isinstance(net, nn.Module) else rebuild(net)
    if example is None and isinstance(net, Rebuilt):
        example = shape_of_rebuilt(net)
    if example is None:
        raise ArgumentError("shape of the input is not known", expected="an input, or its shape (C, H, W)")
    done = methods.prune_channels(net, keep=keep, example=example_of(example), **options)
    assert isinstance(done.network, Rebuilt)
    done.network.report = done  # type: ignore[assignment]
    return marked(done.network, net)


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
        options: as for :func:`paring.quantize`, and ``norm_delay`` of
            :func:`paring.methods.integer.qat.quantization_aware`.

    Returns:
        the module; :func:`paring.export` writes its integers.

    Raises:
        ArgumentError, DataError, GraphError: as :func:`paring.quantize`.
    """
    delay = {"norm_delay": options.pop("norm_delay")} if "norm_delay" in options else {}
    calibration, preparation = calibrating(net, images, limit, options)
    graph, norms = float_graph(net, calibration)
    made = methods.quantize(graph, calibration, weights=bits, norms=norms or None, **options)
    return marked(quantization_aware(made, scales=scales, **delay), net, preparation)


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
