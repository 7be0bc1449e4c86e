"""Symbol streams to bytes and back. Numpy only; the bulk of the work is native where the native module is built.

- :mod:`paring.coding.adaptive`: context-mixing arithmetic coder, the default of the ``.pare`` file.
- :mod:`paring.coding.huffman`: canonical Huffman codes.
- :mod:`paring.coding.relative`: Deep Compression's own coding, relative indices with filler zeros, Huffman coded.
"""

from paring.coding import adaptive as adaptive
from paring.coding import huffman as huffman
from paring.coding import relative as relative
