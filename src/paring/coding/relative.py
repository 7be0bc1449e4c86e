"""Deep Compression's own coding of a pruned, shared weight (Han, Mao, Dally, arXiv 1510.00149, section 2 and 4).

The non-zero weights stand in C order, each as a *relative index*, the number of zeros skipped since the one before,
in ``index_bits`` bits, and a *code*, the number of its centroid. A gap that does not fit is bridged by filler zeros:
entries with code 0 that skip ``2**index_bits - 1`` zeros and are a zero themselves. Both streams are Huffman coded.

A code is: the number of entries (LEB128), ``index_bits`` in one byte, then the Huffman codes (:mod:`.huffman`) of the
relative indices and of the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from paring.coding import huffman
from paring.errors import FormatError
from paring.forms import symbol_dtype

#: Width of a relative index in the paper's tables for LeNet and VGG; AlexNet has 4.
INDEX_BITS = 5


def encode(values: np.ndarray, alphabet: int, index_bits: int = INDEX_BITS) -> bytes:
    """Code an array of symbols of which 0 is the pruned weight.

    Args:
        values: integers in ``0 .. alphabet - 1``, the weight's shape.
        alphabet: number of symbols, 0 included.
        index_bits: width of a relative index, 1 to 16.

    Raises:
        FormatError: if a symbol is out of range.
    """
    gaps, codes = split(values, index_bits)
    out = bytearray()
    rest = len(codes)
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out += bytes((rest, index_bits))
    return bytes(out) + huffman.encode(gaps, 1 << index_bits) + huffman.encode(codes, alphabet)


def decode(data: bytes, shape: tuple[int, ...], alphabet: int) -> np.ndarray:
    """The array that :func:`encode` was given.

    Raises:
        FormatError: if ``data`` is not exactly one code of such an array.
    """
    values, end = decode_from(data, 0, shape, alphabet)
    if end != len(data):
        raise FormatError("bytes are left over", where=f"+{end}", found=len(data) - end)
    return values


def decode_from(data: bytes, start: int, shape: tuple[int, ...], alphabet: int) -> tuple[np.ndarray, int]:
    """The array of the code at byte ``start``, and the byte after the code.

    Raises:
        FormatError: if there is no such code.
    """
    entries, index_bits, at = _head(data, start)
    size = prod(shape)
    if not 1 <= index_bits <= 16:
        raise FormatError("relative index has an impossible width", where=f"+{at - 1}", found=index_bits)
    if entries > size:
        raise FormatError("more entries than weights", where=f"+{start}", found=entries, expected=f"at most {size}")
    gaps, at = huffman.decode_from(data, at, entries, 1 << index_bits)
    codes, end = huffman.decode_from(data, at, entries, alphabet)
    positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
    if entries and positions[-1] >= size:
        raise FormatError("relative indices run past the weight", where=f"+{at}", found=int(positions[-1]))
    fillers = codes == 0
    if entries and (fillers[-1] or np.any(gaps[fillers] != (1 << index_bits) - 1)):
        raise FormatError("filler zero is where none is needed", where=f"+{at}")
    values = np.zeros(size, symbol_dtype(alphabet))
    values[positions] = codes
    return values.reshape(shape), end


def split(values: np.ndarray, index_bits: int = INDEX_BITS) -> tuple[np.ndarray, np.ndarray]:
    """The two streams: relative indices and codes, fillers included, each of shape ``(entries,)``."""
    values = np.asarray(values).ravel()
    reach = 1 << index_bits
    positions = np.flatnonzero(values)
    skipped = np.diff(positions, prepend=-1) - 1
    fillers = skipped // reach
    places = np.cumsum(fillers + 1) - 1
    entries = int(places[-1]) + 1 if len(places) else 0
    gaps, codes = np.full(entries, reach - 1, np.int64), np.zeros(entries, np.int64)
    gaps[places] = skipped % reach
    codes[places] = values[positions]
    return gaps, codes


@dataclass(frozen=True)
class LayerSize:
    """One line of the paper's tables 2 to 5, computed for a layer.

    Attributes:
        weights: number of weights, zeros included, biases not.
        kept: how many are not zero.
        entries: kept ones and filler zeros.
        weight_bits: bits of a code before Huffman coding (P+Q).
        weight_bits_huffman: mean bits of a code after it (P+Q+H), fillers included.
        index_bits: bits of a relative index before.
        index_bits_huffman: mean bits of one after.
        codebook_bits: the codebook, 32 bits for each of ``2**weight_bits`` centroids, as the paper counts it.
    """

    weights: int
    kept: int
    entries: int
    weight_bits: float
    weight_bits_huffman: float
    index_bits: float
    index_bits_huffman: float
    codebook_bits: int

    @property
    def kept_share(self) -> float:
        """Share of weights that are not zero, 0 to 1."""
        return self.kept / self.weights

    @property
    def size(self) -> float:
        """P+Q: (entries x (code + index bits) + codebook) over 32 bits a weight, 0 to 1."""
        return (self.entries * (self.weight_bits + self.index_bits) + self.codebook_bits) / (32 * self.weights)

    @property
    def size_huffman(self) -> float:
        """P+Q+H: the same with the mean Huffman lengths; tables of code lengths are not counted, as there."""
        bits = self.entries * (self.weight_bits_huffman + self.index_bits_huffman) + self.codebook_bits
        return bits / (32 * self.weights)


def layer_size(values: np.ndarray, alphabet: int, index_bits: int = INDEX_BITS) -> LayerSize:
    """The paper's table line of one layer.

    The codebook counts ``32 * 2**weight_bits`` bits with ``weight_bits = ceil(log2(alphabet - 1))``: with that, and
    with filler zeros counted as entries, the small layers of the paper's tables come out (its conv1 of LeNet-5: 500
    weights, 66 % kept, 8 + 5 bits, is 26.8 % without codebook and 78 % with it; printed 78.5 %).

    Args:
        values: symbols, 0 the pruned weight.
        alphabet: number of symbols, 0 included.
        index_bits: width of a relative index.
    """
    gaps, codes = split(values, index_bits)
    weight_bits = max((alphabet - 2).bit_length(), 1) if alphabet > 1 else 0
    return LayerSize(
        weights=int(np.asarray(values).size),
        kept=int(np.count_nonzero(values)),
        entries=len(codes),
        weight_bits=weight_bits,
        weight_bits_huffman=_mean_length(codes),
        index_bits=index_bits,
        index_bits_huffman=_mean_length(gaps),
        codebook_bits=32 << weight_bits,
    )


def total_size(layers: Sequence[LayerSize]) -> LayerSize:
    """The line of the whole network: sums, and bits averaged over entries."""
    entries = sum(layer.entries for layer in layers)

    def mean(bits: str) -> float:
        return sum(getattr(layer, bits) * layer.entries for layer in layers) / max(entries, 1)

    return LayerSize(
        sum(layer.weights for layer in layers),
        sum(layer.kept for layer in layers),
        entries,
        mean("weight_bits"),
        mean("weight_bits_huffman"),
        mean("index_bits"),
        mean("index_bits_huffman"),
        sum(layer.codebook_bits for layer in layers),
    )


def _mean_length(values: np.ndarray) -> float:
    if not values.size:
        return 0.0
    counts = np.bincount(values)
    return float((counts * huffman.code_lengths(counts)).sum() / values.size)


def _head(data: bytes, start: int) -> tuple[int, int, int]:
    entries = 0
    for i in range(5):
        if start + i + 1 >= len(data):
            break
        entries |= (data[start + i] & 127) << 7 * i
        if data[start + i] < 128:
            if i and data[start + i] == 0:
                break
            return entries, data[start + i + 1], start + i + 2
    raise FormatError("invalid number of entries", where=f"+{start}")
