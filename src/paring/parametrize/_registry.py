"""From trained parametrizations to forms, and from a checkpoint's words back to parametrizations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn
from torch.nn.utils import parametrize

from paring.errors import CheckpointError
from paring.forms import Dense, Form, Integer
from paring.layers import BinaryConv2d, BinaryLinear
from paring.parametrize._plugins import load_plugins
from paring.parametrize._select import TRAINABLE, FormParametrization, attach, parametrization, places, value


def forms(module: nn.Module) -> dict[str, Form]:
    """Every parameter's exact form by its plain name (``fc1.weight``).

    ``form.dense()`` equals the trained value bit for bit, up to the sign of zero. A binary layer's weight is what it
    computes with, its signs, one bit each.
    """
    found: dict[str, Form] = {}
    for name, place in places(module).items():
        trained = parametrization(place)
        if trained is None and place.tensor == "weight" and isinstance(place.module, BinaryConv2d | BinaryLinear):
            found[name] = Integer.from_dense(value(place).numpy(force=True), np.ones(1), 1)
        elif trained is None:
            found[name] = Dense(value(place).numpy(force=True))
        else:
            found[name] = trained.form(_original(place))
    return found


def describe(module: nn.Module) -> dict[str, dict[str, Any]]:
    """What :func:`rebuild` needs, beside the state dict, to make the same trainable forms; JSON values."""
    out: dict[str, dict[str, Any]] = {}
    for name, place in places(module).items():
        trained = parametrization(place)
        if trained is not None:
            out[name] = {"kind": trained.kind, **trained.options()}
    return out


def rebuild(module: nn.Module, description: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a plain network the trainable forms of :func:`describe`; load the state dict and :func:`refresh` next.

    Raises:
        CheckpointError: if a parameter or a kind is unknown.
        ParingError: if a kind is unknown and a plug-in that may have it cannot be imported.
    """
    there = places(module)
    for name, options in description.items():
        kind = _trainable(str(options.get("kind")))
        if kind is None or name not in there:
            raise CheckpointError("checkpoint has a form this network cannot take", where=name, found=dict(options))
        plain = {key: number for key, number in options.items() if key != "kind"}
        attach(there[name], kind.blank(tuple(value(there[name]).shape), **plain))


def _trainable(kind: str) -> type[FormParametrization] | None:
    if kind not in TRAINABLE:
        load_plugins()
    return TRAINABLE.get(kind)


def refresh(module: nn.Module) -> None:
    """Bring everything derived from loaded buffers up to date."""
    for child in module.modules():
        if isinstance(child, FormParametrization):
            child.refresh()


def _original(place: Any) -> Any:
    chain = place.module.parametrizations[place.tensor]
    assert isinstance(chain, parametrize.ParametrizationList)
    assert isinstance(chain[0], FormParametrization)
    return chain.original.detach()
