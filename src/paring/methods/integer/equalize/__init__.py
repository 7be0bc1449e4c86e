"""Equalization: channels' scales moved between layers before rounding."""

from paring.methods.integer.equalize._activations import Scaled as Scaled
from paring.methods.integer.equalize._activations import equalize_activations as equalize_activations
from paring.methods.integer.equalize._weights import Equalized as Equalized
from paring.methods.integer.equalize._weights import Link as Link
from paring.methods.integer.equalize._weights import absorb_high_biases as absorb_high_biases
from paring.methods.integer.equalize._weights import equalize as equalize
from paring.methods.integer.equalize._weights import links as links
