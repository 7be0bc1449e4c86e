"""Runs a recipe in a folder, so that a run killed at any moment goes on to the same bytes."""

from paring.recipes.run._chain import Measured as Measured
from paring.recipes.run._context import RecipeContext as RecipeContext
