"""Optimizers, schedules, losses, and the moving average of weights."""

from paring.training.optim._batch_norm import synchronized as synchronized
from paring.training.optim._ema import EMA as EMA
from paring.training.optim._loss import Loss as Loss
from paring.training.optim._loss import cross_entropy as cross_entropy
from paring.training.optim._loss import hard_target as hard_target
from paring.training.optim._loss import scores as scores
from paring.training.optim._optimizer import OPTIMIZERS as OPTIMIZERS
from paring.training.optim._optimizer import optimizer as optimizer
from paring.training.optim._schedule import SCHEDULES as SCHEDULES
from paring.training.optim._schedule import Schedule as Schedule
from paring.training.optim._schedule import lr_factor as lr_factor
