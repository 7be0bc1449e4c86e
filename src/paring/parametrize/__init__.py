"""How a weight wears a form while it trains: selection by patterns, trainable forms, checkpoints of them."""

from paring.parametrize._clipping import between_steps as between_steps
from paring.parametrize._clipping import center_and_clip_weights as center_and_clip_weights
from paring.parametrize._clipping import clip_weights as clip_weights
from paring.parametrize._discrete import straight_through as straight_through
from paring.parametrize._foreign import settle as settle
from paring.parametrize._foreign import settled as settled
from paring.parametrize._half import Half as Half
from paring.parametrize._half import halve as halve
from paring.parametrize._half import round_half as round_half
from paring.parametrize._registry import describe as describe
from paring.parametrize._registry import forms as forms
from paring.parametrize._registry import rebuild as rebuild
from paring.parametrize._registry import refresh as refresh
from paring.parametrize._replace import replace_layers as replace_layers
from paring.parametrize._replace import replaceable as replaceable
from paring.parametrize._select import FormParametrization as FormParametrization
from paring.parametrize._select import attach as attach
from paring.parametrize._select import detach as detach
from paring.parametrize._select import places as places
from paring.parametrize._select import select as select
from paring.parametrize._select import weights as weights
