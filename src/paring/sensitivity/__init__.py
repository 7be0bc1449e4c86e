"""What each layer alone loses under each method. Needs torch."""

from paring.sensitivity._analyze import Point as Point
from paring.sensitivity._analyze import Sensitivity as Sensitivity
from paring.sensitivity._analyze import sensitivity as sensitivity
from paring.sensitivity._methods import Strength as Strength
from paring.sensitivity._methods import described as described
from paring.sensitivity._methods import read_methods as read_methods
from paring.sensitivity._methods import tried as tried
from paring.sensitivity._methods import tried_by as tried_by
from paring.sensitivity._methods import usual as usual
