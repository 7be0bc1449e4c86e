"""The training loop and its checkpoints. Needs torch.

Training is exact: everything random is derived from (seed, epoch, batch), a checkpoint holds the rest, and a run that
was killed goes on to the same bits.
"""

from paring.training._augment import AUGMENTATIONS as AUGMENTATIONS
from paring.training._augment import augmentation as augmentation
from paring.training._augment import distort as distort
from paring.training._batches import Batches as Batches
from paring.training._batches import derived_seed as derived_seed
from paring.training._batches import generator as generator
from paring.training._checkpoint import Clock as Clock
from paring.training._checkpoint import Interruption as Interruption
from paring.training._checkpoint import differences as differences
from paring.training._checkpoint import load_checkpoint as load_checkpoint
from paring.training._checkpoint import optimiser_tensors as optimiser_tensors
from paring.training._checkpoint import restore_optimiser as restore_optimiser
from paring.training._checkpoint import save_checkpoint as save_checkpoint
from paring.training._checkpoint import write_atomic as write_atomic
from paring.training._loop import Loss as Loss
from paring.training._loop import Position as Position
from paring.training._loop import answers as answers
from paring.training._loop import cross_entropy as cross_entropy
from paring.training._loop import distillation as distillation
from paring.training._loop import error_rate as error_rate
from paring.training._loop import fit as fit
from paring.training._loop import optimiser as optimiser
from paring.training._schedule import SCHEDULES as SCHEDULES
from paring.training._schedule import rate as rate
