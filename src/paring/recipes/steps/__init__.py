"""The steps that recipes are lists of. Each function gives a :class:`Step`, whose options are JSON values.

    compress("resnet20", "parquet:cifar10", "runs/mine", [cut(macs=0.7), tune(epochs=5), quantize(bits=8)])

A method step is deterministic: when a run is resumed it is simply done again, in no time beside the trainings. ``tune``
keeps checkpoints in a folder of its own. The float network at the beginning and the file at the end are not in the
list; :func:`paring.recipes.compress` puts them there. Patterns on layers' names are those of
:func:`paring.parametrize.select`.
"""

from paring.recipes.steps._base import Change as Change
from paring.recipes.steps._base import State as State
from paring.recipes.steps._base import Step as Step
from paring.recipes.steps._pruning import prune as prune
from paring.recipes.steps._pruning import prune_gradually as prune_gradually
from paring.recipes.steps._pruning import prune_n_m as prune_n_m
from paring.recipes.steps._rounds import drop_idle as drop_idle
from paring.recipes.steps._rounds import prune_in_rounds as prune_in_rounds
from paring.recipes.steps._structure import binarize as binarize
from paring.recipes.steps._structure import cut as cut
from paring.recipes.steps._structure import cut_branches as cut_branches
from paring.recipes.steps._structure import factorize as factorize
from paring.recipes.steps._structure import quantize as quantize
from paring.recipes.steps._training import train as train
from paring.recipes.steps._training import tune as tune
from paring.recipes.steps._weights import binarize_weights as binarize_weights
from paring.recipes.steps._weights import binary_connect as binary_connect
from paring.recipes.steps._weights import dorefa as dorefa
from paring.recipes.steps._weights import hash_weights as hash_weights
from paring.recipes.steps._weights import product_quantize as product_quantize
from paring.recipes.steps._weights import round_to_powers as round_to_powers
from paring.recipes.steps._weights import share as share
from paring.recipes.steps._weights import ternarize as ternarize
