"""Batch norms folded into layers, and chains of linear layers merged."""

from paring.methods.folding._batch_norm import Folded as Folded
from paring.methods.folding._batch_norm import fold_batch_norms as fold_batch_norms
from paring.methods.folding._batch_norm import merge_chains as merge_chains
from paring.methods.folding._merge import merge_layers as merge_layers
