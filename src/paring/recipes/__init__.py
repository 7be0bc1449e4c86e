"""Methods in a row, with data and fine-tuning between. Needs torch."""

from paring.recipes import steps as steps
from paring.recipes._compress import Compressed as Compressed
from paring.recipes._compress import compress as compress
from paring.recipes._options import Option as Option
from paring.recipes._registry import RECIPES as RECIPES
from paring.recipes._registry import Recipe as Recipe
from paring.recipes._registry import find as find
from paring.recipes._registry import load_plugins as load_plugins
from paring.recipes._registry import recipe as recipe
from paring.recipes.run._chain import Measured as Measured
from paring.recipes.run._context import RecipeContext as RecipeContext

from paring.recipes import builtin as builtin  # isort: skip  (registers the recipes, which need all of the above)
