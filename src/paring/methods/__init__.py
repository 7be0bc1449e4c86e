"""What gives a weight a form: one file per method, named after the paper's own term. Needs torch.

Here stand the methods themselves and their registry; what each is made of stands in its own package
(:mod:`paring.methods.pruning`, :mod:`paring.methods.sharing`, ...). All are called alike: the network first, then how
much, for all layers or by patterns (:mod:`paring.methods._amounts`), then options; all give a :class:`Report`. Methods
follow one another on the same weight: sharing keeps the zeros of pruning. :func:`paring.capture.capture` puts the forms
of a trained network into its graph.

    prune(network, keep={"fc*": 0.05, "conv*": 0.2})    # train ...
    share(network, centroids=32)                        # train ...
    graph = capture(network, (1, 28, 28))               # weights keep their forms
"""

from paring.methods._amounts import Amount as Amount
from paring.methods._amounts import bits_of as bits_of
from paring.methods._amounts import number as number
from paring.methods._amounts import one_of as one_of
from paring.methods._amounts import share_of as share_of
from paring.methods._capture import graph_with_forms as graph_with_forms
from paring.methods._capture import unfolded_graph as unfolded_graph
from paring.methods._hashing import hash as hash
from paring.methods._registry import Method as Method
from paring.methods._registry import Trial as Trial
from paring.methods._registry import find as find
from paring.methods._registry import method as method
from paring.methods._registry import methods as methods
from paring.methods._report import Report as Report
from paring.methods._report import Row as Row
from paring.methods.channels import prune_branches as prune_branches
from paring.methods.channels import prune_channels as prune_channels
from paring.methods.folding import fold_batch_norms as fold_batch_norms
from paring.methods.folding import merge_chains as merge_chains
from paring.methods.integer import quantize as quantize
from paring.methods.low_bit import binarize as binarize
from paring.methods.low_bit import binarize_weights as binarize_weights
from paring.methods.low_bit import binary_connect as binary_connect
from paring.methods.low_bit import dorefa as dorefa
from paring.methods.low_bit import inq as inq
from paring.methods.low_bit import ternarize as ternarize
from paring.methods.low_rank import factorize as factorize
from paring.methods.product import product_quantize as product_quantize
from paring.methods.pruning import prune as prune
from paring.methods.pruning import prune_gradually as prune_gradually
from paring.methods.pruning import prune_movement as prune_movement
from paring.methods.pruning import prune_n_m as prune_n_m
from paring.methods.sharing import share as share
