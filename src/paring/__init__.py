"""Paring pares convolutional networks down to a file you can measure and a program you can time.

    >>> import paring
    >>> model = paring.load("lenet.pare")           # needs numpy only
    >>> scores = model(images)                      # uint8 images (N, H, W) or (N, H, W, C)
    >>> model.classify("seven.png", top=3)

The small half (``forms``, ``coding``, ``graph``, ``container``, ``runtime``, ``data``) is here at once. The workshop
(``zoo``, ``layers``, ``methods``, ``training``, ``capture``, ``recipes``) needs torch and is imported by name.
"""

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
