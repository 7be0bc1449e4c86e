"""From a picture to the network's input: one arithmetic for training, data sets and runtime. Numpy only."""

from paring.image._preparation import NORMALIZATIONS as NORMALIZATIONS
from paring.image._preparation import Preparation as Preparation
from paring.image._prepare import normalize as normalize
from paring.image._prepare import prepare as prepare
