"""Methods in a row, with data and fine-tuning between. Needs torch."""

from paring.recipes._job import STAGES as STAGES
from paring.recipes._presets import PRESETS as PRESETS
from paring.recipes._presets import default_preset as default_preset
from paring.recipes._presets import preset as preset
from paring.recipes._sensitivity_methods import METHODS as METHODS
from paring.recipes._sensitivity_methods import Strength as Strength
from paring.recipes._sensitivity_methods import read_methods as read_methods
from paring.recipes._settings import Phase as Phase
from paring.recipes._settings import Settings as Settings
from paring.recipes._settings import centroid_targets as centroid_targets
from paring.recipes._settings import keep_targets as keep_targets
from paring.recipes._teachers import Renormalised as Renormalised
from paring.recipes._teachers import teacher as teacher
from paring.recipes.channels import SmallerNetwork as SmallerNetwork
from paring.recipes.channels import ShallowerNetwork as ShallowerNetwork
from paring.recipes.channels import cut_branches as cut_branches
from paring.recipes.channels import cut_channels as cut_channels
from paring.recipes.deep_compression import deep_compression as deep_compression
from paring.recipes.distillation import distil as distil
from paring.recipes.sensitivity import Point as Point
from paring.recipes.sensitivity import Sensitivity as Sensitivity
from paring.recipes.sensitivity import sensitivity as sensitivity
from paring.recipes.specialists import predictions as predictions
from paring.recipes.specialists import specialists as specialists
