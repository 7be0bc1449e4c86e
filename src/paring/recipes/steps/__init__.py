"""The steps that recipes are lists of. Each function gives a :class:`Step`, whose options are JSON values.

    compress("resnet20", "parquet:cifar10", "runs/mine", [prune_channels(macs=0.7), tune(epochs=5), quantize(8)])

Every method of :mod:`paring.methods`, plug-ins' too, is a step by its name: ``steps.prune(keep=0.2)`` does what
``methods.prune(network, keep=0.2)`` does, with the data, the seed and the input's shape of the run. Arguments are
checked at once, not when the step's turn comes.

A method step is deterministic: when a run is resumed it is simply done again, in no time beside the trainings. ``tune``
keeps checkpoints in a folder of its own. The float network at the beginning and the file at the end are not in the
list; :func:`paring.recipes.compress` puts them there. Patterns on layers' names are those of
:func:`paring.parametrize.select`.
"""

from typing import Any

from paring.errors import ArgumentError
from paring.recipes.steps._base import Change as Change
from paring.recipes.steps._base import State as State
from paring.recipes.steps._base import Step as Step
from paring.recipes.steps._method import maker as _maker
from paring.recipes.steps._method import step as step
from paring.recipes.steps._rounds import drop_idle as drop_idle
from paring.recipes.steps._rounds import prune_in_rounds as prune_in_rounds
from paring.recipes.steps._training import train as train
from paring.recipes.steps._training import tune as tune


def __getattr__(name: str) -> Any:
    """The step of a method."""
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return _maker(name)
    except ArgumentError as error:
        raise AttributeError(f"no such step: {error}") from None


def __dir__() -> list[str]:
    from paring.methods import methods

    return sorted({*globals(), *methods()})
