"""Every network of the papers, one file per family.

    >>> from paring import zoo
    >>> zoo.list("lenet*")
    ['lenet_300_100', 'lenet_5_1998', 'lenet_5_caffe', 'lenet_5_modern']
    >>> zoo.card("lenet_5_caffe").parameters
    431080

Importing this package does not import torch; building a network does. How to add a family: ``_registry.py``.
"""

from paring.zoo._checkpoint import LoadReport as LoadReport
from paring.zoo._checkpoint import load_weights as load_weights
from paring.zoo._registry import Card as Card
from paring.zoo._registry import arguments as arguments
from paring.zoo._registry import card as card
from paring.zoo._registry import create as create
from paring.zoo._registry import names as list
from paring.zoo._registry import register as register

__all__ = ["Card", "LoadReport", "arguments", "card", "create", "list", "load_weights", "register"]
