"""The tests mirror ``src/paring`` folder by folder. Helpers are modules of these packages."""

import os
from pathlib import Path

#: The repository.
ROOT = Path(__file__).resolve().parent.parent
#: ``PYTHONPATH`` of a process that a test starts and that imports helpers.
PYTHONPATH = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
