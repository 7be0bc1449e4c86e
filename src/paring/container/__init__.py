"""The `.pare` file: write, read, refuse. Numpy only; ``docs/reference/format.md`` is normative."""

from paring.container._contents import Contents as Contents
from paring.container._file import inspect as inspect
from paring.container._file import read as read
from paring.container._file import write as write
from paring.container._inspection import Inspection as Inspection
from paring.container._inspection import Row as Row
from paring.container._output import OUTPUTS as OUTPUTS
from paring.container._output import check_output as check_output
from paring.container._output import output_of as output_of
