"""The verbs that stand at the top of :mod:`paring`, each taking what users hold in their hands. Needs torch.

A network is a module, a graph or a model; images are a tensor, an array, a loader, a list of pictures, a folder, or
``kind:where``. What a verb adds to the packages below is only that: it turns these into what they take.
"""

from paring.api._compress import compress as compress
from paring.api._cost import cost as cost
from paring.api._distill import distill as distill
from paring.api._export import export as export
from paring.api._methods import prepare_qat as prepare_qat
from paring.api._methods import prune as prune
from paring.api._methods import prune_channels as prune_channels
from paring.api._quantize import quantize as quantize
from paring.networks import create as create
