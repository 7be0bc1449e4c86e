"""One training: the loop, its checkpoints, its log and its progress bar."""

from paring.training.loop._checkpoint import Clock as Clock
from paring.training.loop._checkpoint import Interruption as Interruption
from paring.training.loop._checkpoint import differences as differences
from paring.training.loop._checkpoint import load_checkpoint as load_checkpoint
from paring.training.loop._checkpoint import optimizer_tensors as optimizer_tensors
from paring.training.loop._checkpoint import restore_optimizer as restore_optimizer
from paring.training.loop._checkpoint import save_checkpoint as save_checkpoint
from paring.training.loop._checkpoint import write_atomic as write_atomic
from paring.training.loop._checkpoints import Checkpoints as Checkpoints
from paring.training.loop._fit import Position as Position
from paring.training.loop._fit import StepInfo as StepInfo
from paring.training.loop._fit import answers as answers
from paring.training.loop._fit import error_rate as error_rate
from paring.training.loop._fit import fit as fit
from paring.training.loop._progress import Progress as Progress
from paring.training.loop._run import EARLIER as EARLIER
from paring.training.loop._run import Outcome as Outcome
from paring.training.loop._run import run as run
from paring.training.loop._step import PRECISIONS as PRECISIONS
from paring.training.loop._step import Stepper as Stepper
