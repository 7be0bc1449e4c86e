"""Specialists (Hinton 2015, section 5): clusters of classes, a network for each, the exact combination of outputs."""

from paring.distillation.specialists._batches import SpecialistBatches as SpecialistBatches
from paring.distillation.specialists._clusters import cluster_classes as cluster_classes
from paring.distillation.specialists._clusters import covariance_lines as covariance_lines
from paring.distillation.specialists._clusters import prediction_covariance as prediction_covariance
from paring.distillation.specialists._combine import Combination as Combination
from paring.distillation.specialists._combine import active_specialists as active_specialists
from paring.distillation.specialists._combine import combine as combine
from paring.distillation.specialists._combine import dustbin_correction as dustbin_correction
from paring.distillation.specialists._ensemble import Specialist as Specialist
from paring.distillation.specialists._ensemble import Specialists as Specialists
from paring.distillation.specialists._ensemble import conditional_accuracy as conditional_accuracy
from paring.distillation.specialists._ensemble import probabilities as probabilities
from paring.distillation.specialists._network import classifier_head as classifier_head
from paring.distillation.specialists._network import specialize as specialize
from paring.distillation.specialists._picture import covariance_svg as covariance_svg
from paring.distillation.specialists._train import predictions as predictions
from paring.distillation.specialists._train import train_specialists as train_specialists
