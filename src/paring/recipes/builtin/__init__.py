"""The recipes that come with Paring, one file each."""

from paring.recipes.builtin._deep_compression_presets import PRESETS as PRESETS
from paring.recipes.builtin._deep_compression_presets import default_preset as default_preset
from paring.recipes.builtin._deep_compression_presets import preset as preset
