"""The report: one self-contained HTML page about one `.pare` file.

:func:`write` makes the page of a file. Behind it, :func:`gather` turns the file and the record of its run into a
:class:`Report`, which is plain data, and :func:`render` turns that into the page.
"""

from paring.report._gather import gather as gather
from paring.report._gather import write as write
from paring.report._model import PARTS as PARTS
from paring.report._model import Report as Report
from paring.report._page import render as render
from paring.report._page import write_page as write_page
from paring.report._pieces import Accuracy as Accuracy
from paring.report._pieces import Coding as Coding
from paring.report._pieces import CodingRow as CodingRow
from paring.report._pieces import Facts as Facts
from paring.report._pieces import GraphNode as GraphNode
from paring.report._pieces import Histogram as Histogram
from paring.report._pieces import Layer as Layer
from paring.report._pieces import NodeTime as NodeTime
from paring.report._pieces import Section as Section
from paring.report._pieces import Stage as Stage
from paring.report._pieces import Timing as Timing
from paring.report._training import render_training as render_training
from paring.report._training import write_training as write_training
