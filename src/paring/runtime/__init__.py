"""Running a network without torch: the reference interpreter, the native engine, and the model in a file."""

from paring.runtime import reference as reference
from paring.runtime._engine import Engine as Engine
from paring.runtime._engine import StepTime as StepTime
from paring.runtime._engine import info as info
from paring.runtime._limits import Limits as Limits
from paring.runtime._model import Model as Model
from paring.runtime._model import Timing as Timing
from paring.runtime._model import load as load
from paring.runtime._onnx import write_onnx as write_onnx
