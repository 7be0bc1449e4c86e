"""The coders in pure Python: slow, plain, and the judge of the native ones.

They do the work where the native module is missing and give the same bytes. :class:`Encoder` and :class:`Decoder` have
the native classes' methods; ``docs/reference/format.md`` is written from them.
"""

from paring.coding.reference._huffman import huffman_decode as huffman_decode
from paring.coding.reference._huffman import huffman_encode as huffman_encode
from paring.coding.reference._session import Decoder as Decoder
from paring.coding.reference._session import Encoder as Encoder
