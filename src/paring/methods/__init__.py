"""What gives a weight a form: one file per method, named after the paper's own term. Needs torch.

A method is a pure function on arrays, a trainable form (a ``torch.nn.utils.parametrize`` parametrisation) and a
function that applies it to the layers a pattern matches. Methods follow one another on the same weight: sharing keeps
the zeros of pruning. :func:`forms` turns a trained network into forms for the graph.

    prune(network, {"fc*": 0.05, "conv*": 0.2})     # train ...
    share(network, {"fc*": 32, "conv*": 256})       # train ...
    graph.weights.update(forms(network))
"""

from paring.methods._channel_scores import SCORES as SCORES
from paring.methods._channel_scores import channel_scores as channel_scores
from paring.methods._clustering import INITIALISATIONS as INITIALISATIONS
from paring.methods._clustering import initial_centroids as initial_centroids
from paring.methods._clustering import lloyd as lloyd
from paring.methods._clustering import nearest as nearest
from paring.methods._exact_kmeans import Clustering as Clustering
from paring.methods._exact_kmeans import exact_kmeans as exact_kmeans
from paring.methods._exact_kmeans import proven_kmeans as proven_kmeans
from paring.methods._export import describe as describe
from paring.methods._export import forms as forms
from paring.methods._export import rebuild as rebuild
from paring.methods._export import refresh as refresh
from paring.methods._gates import batch_norm_scales as batch_norm_scales
from paring.methods._gates import gate_gradients as gate_gradients
from paring.methods._kmeans_reference import exact_kmeans_reference as exact_kmeans_reference
from paring.methods._layerwise import LeastSquares as LeastSquares
from paring.methods._merge import merge_layers as merge_layers
from paring.methods._moments import Moments as Moments
from paring.methods._moments import Normal as Normal
from paring.methods._moments import clipped_normal as clipped_normal
from paring.methods._moments import moments as moments
from paring.methods._moments import normals as normals
from paring.methods._observers import OBSERVERS as OBSERVERS
from paring.methods._observers import Histogram as Histogram
from paring.methods._observers import affine as affine
from paring.methods._report import LayerReport as LayerReport
from paring.methods._report import Report as Report
from paring.methods._select import FormParametrization as FormParametrization
from paring.methods._select import attach as attach
from paring.methods._select import detach as detach
from paring.methods._select import places as places
from paring.methods._select import select as select
from paring.methods._select import weights as weights
from paring.methods._vbmf import Factorised as Factorised
from paring.methods._vbmf import vbmf as vbmf
from paring.methods._weight_scales import weight_scales as weight_scales
from paring.methods.adaround import adaround as adaround
from paring.methods.bias_correction import bias_error as bias_error
from paring.methods.branches import cheapest_branch as cheapest_branch
from paring.methods.branches import remove_branches as remove_branches
from paring.methods.branches import residual_branches as residual_branches
from paring.methods.equalisation import Equalised as Equalised
from paring.methods.equalisation import Link as Link
from paring.methods.equalisation import absorb_high_biases as absorb_high_biases
from paring.methods.equalisation import equalise as equalise
from paring.methods.equalisation import links as links
from paring.methods.folding import Folded as Folded
from paring.methods.folding import fold_batch_norms as fold_batch_norms
from paring.methods.folding import merge_chains as merge_chains
from paring.methods.gptq import gptq as gptq
from paring.methods.gradual import Gradual as Gradual
from paring.methods.half import Half as Half
from paring.methods.half import halve as halve
from paring.methods.half import round_half as round_half
from paring.methods.integers import Quantised as Quantised
from paring.methods.integers import observe as observe
from paring.methods.integers import quantise as quantise
from paring.methods.low_rank import Factored as Factored
from paring.methods.low_rank import describe_chains as describe_chains
from paring.methods.low_rank import factorise as factorise
from paring.methods.low_rank import rebuild_chains as rebuild_chains
from paring.methods.movement import Moving as Moving
from paring.methods.movement import movement_penalty as movement_penalty
from paring.methods.movement import prune_by_movement as prune_by_movement
from paring.methods.movement import settle_movement as settle_movement
from paring.methods.n_m import n_m_mask as n_m_mask
from paring.methods.n_m import prune_n_m as prune_n_m
from paring.methods.pruning import Pruned as Pruned
from paring.methods.pruning import apply_masks as apply_masks
from paring.methods.pruning import cubic as cubic
from paring.methods.pruning import global_masks as global_masks
from paring.methods.pruning import magnitude_mask as magnitude_mask
from paring.methods.pruning import prune as prune
from paring.methods.pruning import prune_by_quality as prune_by_quality
from paring.methods.pruning import prune_global as prune_global
from paring.methods.pruning import quality_mask as quality_mask
from paring.methods.scores import prune_by_scores as prune_by_scores
from paring.methods.scores import score_mask as score_mask
from paring.methods.scores import taylor_scores as taylor_scores
from paring.methods.structured import ENGINE_TILE as ENGINE_TILE
from paring.methods.structured import ChannelPruning as ChannelPruning
from paring.methods.structured import LayerCut as LayerCut
from paring.methods.structured import prune_channels as prune_channels
from paring.methods.weight_sharing import Shared as Shared
from paring.methods.weight_sharing import share as share
from paring.methods.weight_sharing import share_values as share_values
from paring.methods.weight_sharing import sharing_rate as sharing_rate
