"""torch -> graph and graph -> torch. Needs PyTorch."""

from paring.capture._capture import capture as capture
from paring.capture._capture import unused as unused
from paring.capture._norm_statistics import BatchNorm as BatchNorm
from paring.capture._norm_statistics import norm_statistics as norm_statistics
from paring.capture._norms import batch_norms as batch_norms
from paring.capture._rebuild import Rebuilt as Rebuilt
from paring.capture._rebuild import rebuild as rebuild
from paring.capture._rules_activations import register_operator as register_operator
from paring.capture._tally import tally as tally
from paring.capture._trace import outline as outline
from paring.capture._trace import without_initialization as without_initialization
