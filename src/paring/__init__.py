"""Paring pares convolutional networks down to a file you can measure and a program you can time.

    >>> import paring
    >>> model = paring.load("lenet.pare")           # needs numpy only
    >>> scores = model(images)                      # uint8 images (N, H, W) or (N, H, W, C)
    >>> model.classify("seven.png", top=3)          # a file of a picture needs Pillow, too

The small half (``forms``, ``coding``, ``graph``, ``container``, ``runtime``, ``data``) is here at once. The verbs
``create``, ``cost``, ``quantize``, ``compress``, ``export``, ``prune``, ``prune_channels``, ``prepare_qat`` and
``distill`` need torch, which is imported when the first of them is asked for; behind them are the packages of the
workshop (``zoo``, ``networks``, ``layers``, ``methods``, ``training``, ``capture``, ``recipes``), imported by name.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from paring import container as container
from paring import data as data
from paring import forms as forms
from paring import graph as graph
from paring import runtime as runtime
from paring.container import Contents as Contents
from paring.container import inspect as inspect
from paring.container import read as read
from paring.container import write as write
from paring.errors import ParingError as ParingError
from paring.runtime import Model as Model
from paring.runtime import load as load

__version__ = "0.1.0"

if _TYPE_CHECKING:
    from paring.api import compress as compress
    from paring.api import cost as cost
    from paring.api import create as create
    from paring.api import distill as distill
    from paring.api import export as export
    from paring.api import prepare_qat as prepare_qat
    from paring.api import prune as prune
    from paring.api import prune_channels as prune_channels
    from paring.api import quantize as quantize

_VERBS = ("compress", "cost", "create", "distill", "export", "prepare_qat", "prune", "prune_channels", "quantize")


def __getattr__(name: str) -> _Any:
    if name not in _VERBS:
        raise AttributeError(f"module 'paring' has no attribute {name!r}")
    try:
        verb = getattr(_import_module("paring.api"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        cure = "Install it with: pip install 'paring[torch]'"
        raise ParingError(f"paring.{name} needs PyTorch", fix=cure) from error
    globals()[name] = verb
    return verb


def __dir__() -> list[str]:
    return sorted({*globals(), *_VERBS})
