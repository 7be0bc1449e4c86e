"""Symbol streams to bytes and back. Numpy only; the bulk of the work is native where the native module is built.

- :mod:`paring.coding.adaptive`: context-mixing arithmetic coder, the default of the ``.pare`` file.
"""

from paring.coding import adaptive as adaptive
