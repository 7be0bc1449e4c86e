"""Methods in a row, with data and fine-tuning between. Needs torch."""

from paring.recipes import steps as steps
from paring.recipes._compress import Compressed as Compressed
from paring.recipes._compress import compress as compress
from paring.recipes._job import STAGES as STAGES
from paring.recipes._registry import RECIPES as RECIPES
from paring.recipes._registry import Recipe as Recipe
from paring.recipes._registry import recipe as recipe
from paring.recipes._settings import Phase as Phase
from paring.recipes._settings import Settings as Settings
from paring.recipes._settings import centroid_targets as centroid_targets
from paring.recipes._settings import keep_targets as keep_targets
from paring.recipes.builtin._deep_compression import deep_compression as deep_compression
from paring.recipes.builtin._deep_compression_presets import PRESETS as PRESETS
from paring.recipes.builtin._deep_compression_presets import default_preset as default_preset
from paring.recipes.builtin._deep_compression_presets import preset as preset
from paring.recipes.run._chain import Measured as Measured
from paring.recipes.run._context import RecipeContext as RecipeContext
