"""Whole channels and residual branches removed."""

from paring.methods.channels._branches import cheapest_branch as cheapest_branch
from paring.methods.channels._branches import remove_branches as remove_branches
from paring.methods.channels._branches import residual_branches as residual_branches
from paring.methods.channels._gates import batch_norm_scales as batch_norm_scales
from paring.methods.channels._gates import gate_gradients as gate_gradients
from paring.methods.channels._module import BranchPruning as BranchPruning
from paring.methods.channels._module import prune_branches as prune_branches
from paring.methods.channels._module import prune_channels as prune_channels
from paring.methods.channels._prune import ENGINE_TILE as ENGINE_TILE
from paring.methods.channels._prune import ChannelPruning as ChannelPruning
from paring.methods.channels._scores import SCORES as SCORES
from paring.methods.channels._scores import channel_scores as channel_scores
