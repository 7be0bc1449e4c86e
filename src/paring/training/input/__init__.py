"""Batches of images: from memory, or streamed from any source by worker processes."""

from paring.training.input._batches import Batch as Batch
from paring.training.input._batches import Batches as Batches
from paring.training.input._batches import Source as Source
from paring.training.input._batches import derived_seed as derived_seed
from paring.training.input._batches import generator as generator
from paring.training.input._batches import sliced as sliced
from paring.training.input._images import Images as Images
from paring.training.input._mixup import Mixup as Mixup
from paring.training.input._source import source as source
from paring.training.input._stream import ImageStream as ImageStream
from paring.training.input._stream import InOrder as InOrder
