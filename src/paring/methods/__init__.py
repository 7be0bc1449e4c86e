"""What gives a weight a form: one file per method, named after the paper's own term. Needs torch.

A method is a pure function on arrays, a trainable form (a ``torch.nn.utils.parametrize`` parametrisation) and a
function that applies it to the layers a pattern matches. Methods follow one another on the same weight: sharing keeps
the zeros of pruning. :func:`forms` turns a trained network into forms for the graph.

    prune(network, {"fc*": 0.05, "conv*": 0.2})     # train ...
    share(network, {"fc*": 32, "conv*": 256})       # train ...
    graph.weights.update(forms(network))
"""

from paring.methods._clustering import INITIALISATIONS as INITIALISATIONS
from paring.methods._clustering import exact_kmeans as exact_kmeans
from paring.methods._clustering import initial_centroids as initial_centroids
from paring.methods._clustering import lloyd as lloyd
from paring.methods._clustering import nearest as nearest
from paring.methods._export import describe as describe
from paring.methods._export import forms as forms
from paring.methods._export import rebuild as rebuild
from paring.methods._export import refresh as refresh
from paring.methods._select import FormParametrization as FormParametrization
from paring.methods._select import attach as attach
from paring.methods._select import detach as detach
from paring.methods._select import places as places
from paring.methods._select import select as select
from paring.methods._select import weights as weights
from paring.methods.half import Half as Half
from paring.methods.half import halve as halve
from paring.methods.half import round_half as round_half
from paring.methods.pruning import Pruned as Pruned
from paring.methods.pruning import apply_masks as apply_masks
from paring.methods.pruning import cubic as cubic
from paring.methods.pruning import global_masks as global_masks
from paring.methods.pruning import magnitude_mask as magnitude_mask
from paring.methods.pruning import prune as prune
from paring.methods.pruning import prune_by_quality as prune_by_quality
from paring.methods.pruning import prune_global as prune_global
from paring.methods.pruning import quality_mask as quality_mask
from paring.methods.weight_sharing import Shared as Shared
from paring.methods.weight_sharing import share as share
from paring.methods.weight_sharing import share_values as share_values
from paring.methods.weight_sharing import sharing_rate as sharing_rate
