"""Augmentations of training images."""

from paring.training.augment._color import brightness as brightness
from paring.training.augment._color import color_components as color_components
from paring.training.augment._color import contrast as contrast
from paring.training.augment._color import hue as hue
from paring.training.augment._color import pca_noise as pca_noise
from paring.training.augment._color import saturation as saturation
from paring.training.augment._distort import distort as distort
from paring.training.augment._geometry import erase as erase
from paring.training.augment._geometry import flip as flip
from paring.training.augment._geometry import pad_crop as pad_crop
from paring.training.augment._geometry import rectangle as rectangle
from paring.training.augment._geometry import resample as resample
from paring.training.augment._spec import AUGMENTATIONS as AUGMENTATIONS
from paring.training.augment._spec import Augmentation as Augmentation
from paring.training.augment._spec import augmentation as augmentation
from paring.training.augment._transforms import TRANSFORMS as TRANSFORMS
