"""The steps that recipes are lists of. Each function gives a :class:`Step`, whose options are JSON values.

    compress("resnet20", "parquet:cifar10", "runs/mine", [cut(macs=0.7), tune(epochs=5), quantise(bits=8)])

A method step is deterministic: when a run is resumed it is simply done again, in no time beside the trainings. ``tune``
keeps checkpoints in a folder of its own. The float network at the beginning and the file at the end are not in the
list; :func:`paring.recipes.compress` puts them there. Patterns on layers' names are those of
:func:`paring.methods.select`.
"""

from paring.recipes._pruning_steps import prune as prune
from paring.recipes._pruning_steps import prune_gradually as prune_gradually
from paring.recipes._pruning_steps import prune_n_m as prune_n_m
from paring.recipes._steps import Change as Change
from paring.recipes._steps import State as State
from paring.recipes._steps import Step as Step
from paring.recipes._structure_steps import binarise as binarise
from paring.recipes._structure_steps import cut as cut
from paring.recipes._structure_steps import cut_branches as cut_branches
from paring.recipes._structure_steps import factorise as factorise
from paring.recipes._structure_steps import quantise as quantise
from paring.recipes._training_steps import train as train
from paring.recipes._training_steps import tune as tune
from paring.recipes._weight_steps import binarise_weights as binarise_weights
from paring.recipes._weight_steps import binary_connect as binary_connect
from paring.recipes._weight_steps import dorefa as dorefa
from paring.recipes._weight_steps import hash_weights as hash_weights
from paring.recipes._weight_steps import product_quantise as product_quantise
from paring.recipes._weight_steps import round_to_powers as round_to_powers
from paring.recipes._weight_steps import share as share
from paring.recipes._weight_steps import ternarise as ternarise
