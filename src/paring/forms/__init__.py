"""What a weight can be. Numpy only.

A *form* is how one weight tensor is kept: its shape, its exact dense value and its symbol streams. A new form is one
file with a :class:`Form` subclass and one row in ``FORMS``.
"""

from paring.forms._base import MAX_ELEMENTS as MAX_ELEMENTS
from paring.forms._base import MAX_RANK as MAX_RANK
from paring.forms._base import Form as Form
from paring.forms._base import Stream as Stream
from paring.forms._base import StreamSpec as StreamSpec
from paring.forms._base import symbol_dtype as symbol_dtype
from paring.forms._codebook import Codebook as Codebook
from paring.forms._dense import Dense as Dense
from paring.forms._hashed import Hashed as Hashed
from paring.forms._hashed import hashed_places as hashed_places
from paring.forms._hashed import xxhash32 as xxhash32
from paring.forms._integer import Integer as Integer
from paring.forms._integer import largest_code as largest_code
from paring.forms._product import Product as Product
from paring.forms._sparse import Sparse as Sparse

#: Every form by its kind, in the order of its number in the file. Append only.
FORMS: dict[str, type[Form]] = {form.kind: form for form in (Dense, Sparse, Codebook, Integer, Product, Hashed)}
