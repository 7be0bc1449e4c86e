"""Single weights removed: by magnitude, gradually, by movement, by scores, N of every M."""

from paring.methods.pruning._gradual import Gradual as Gradual
from paring.methods.pruning._gradual import prune_gradually as prune_gradually
from paring.methods.pruning._magnitude import Pruned as Pruned
from paring.methods.pruning._magnitude import apply_masks as apply_masks
from paring.methods.pruning._magnitude import cubic as cubic
from paring.methods.pruning._magnitude import global_masks as global_masks
from paring.methods.pruning._magnitude import magnitude_mask as magnitude_mask
from paring.methods.pruning._magnitude import prune as prune
from paring.methods.pruning._magnitude import quality_mask as quality_mask
from paring.methods.pruning._movement import MovementPruned as MovementPruned
from paring.methods.pruning._movement import movement_penalty as movement_penalty
from paring.methods.pruning._movement import prune_movement as prune_movement
from paring.methods.pruning._movement import settle_movement as settle_movement
from paring.methods.pruning._n_m import n_m_mask as n_m_mask
from paring.methods.pruning._n_m import prune_n_m as prune_n_m
from paring.methods.pruning._scores import prune_by_scores as prune_by_scores
from paring.methods.pruning._scores import score_mask as score_mask
from paring.methods.pruning._scores import taylor_scores as taylor_scores
