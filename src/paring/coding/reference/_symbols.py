"""The coder of symbol arrays: a weight's neighbors say whether it is zero, of which sign, and how large."""

from __future__ import annotations

from typing import NamedTuple

from paring.coding.reference._logistic import Counters, Mixer, Pace, level, share, slot, stretch

_STATISTICS = 1 << 20
_ZERO, _SIGN, _SIZE = Pace(600, 176, 1136, 178), Pace(360, 1152, 3744, 206), Pace(220, 302, 544, 203)


class Geometry(NamedTuple):
    """A weight seen as filters x planes x places, each plane an image of ``width`` columns."""

    filters: int
    planes: int
    places: int
    width: int
    flat: bool


class Neighbors(NamedTuple):
    """Symbols around the one to come; 0 outside of the weight."""

    left: int
    up: int
    up_left: int
    up_right: int
    left2: int
    up2: int
    up_left2: int
    up_right2: int
    back: int
    back2: int
    above: int
    above2: int
    above_left: int
    above_right: int


class SymbolModel:
    """What was learned from all arrays so far."""

    def __init__(self) -> None:
        self._zero, self._sign, self._size = (tuple(Counters() for _ in range(n)) for n in (6, 8, 8))
        self._zero_mixer = Mixer(16, (9175, 4588, 21627, 655, 21627, 6554, 5243, 2621), _ZERO)
        self._sign_mixer = Mixer(1, (11796,) * 8, _SIGN)
        self._size_mixer = Mixer(512, (18350, 13107, 18350, 2228, 4588, 5571, 13107, 9175), _SIZE)
        self._last_filters: list[int] = []

    def code(self, coder, values: list[int], geometry: Geometry, alphabet: int, negatives: int) -> None:
        """Code ``values`` (flat, C order), which a decoder fills in."""
        array = _Array(geometry, alphabet, negatives, self._last_filters)
        counts = []
        for _ in range(geometry.filters):
            array.begin_filter()
            for c in range(geometry.planes):
                array.begin_plane()
                for k in range(geometry.places):
                    symbol = self._code_one(coder, values, array, c, k)
                    if coder.decodes:
                        values[array.at] = symbol
                    array.learn(symbol, c, k)
            counts.append(min(array.row_count, 0xFFFFFFFF))
            array.o += 1
        self._last_filters = counts if geometry.filters <= _STATISTICS else []

    def _code_one(self, coder, values: list[int], array: _Array, c: int, k: int) -> int:
        near = array.neighbors(values, c, k)
        group = array.group(c, k)
        symbol = values[array.at]
        if not self._code_zero(coder, int(symbol != 0), array, near, group, k):
            return 0
        negatives, positives = array.negatives, len(array.magnitude) - 1 - array.negatives
        negative = negatives > 0
        if negatives and positives:
            negative = bool(self._code_sign(coder, int(symbol <= negatives), array, near, k))
        rank = negatives + 1 - symbol if negative else symbol - negatives
        rank = self._code_size(coder, rank, negatives if negative else positives, negative, array, near, group, k)
        return negatives + 1 - rank if negative else negatives + rank

    def _code_zero(self, coder, bit: int, array: _Array, near: Neighbors, group: int, k: int) -> int:
        g, size = array.geometry, array.class_of
        prior = share(array.total_count, array.total, 32768, 1)
        around = sum(symbol > 0 for symbol in near[:8])
        behind = sum(symbol > 0 for symbol in near[8:])
        column_level = array.column_level()
        kernel_place, kernel_level = array.kernel(k)
        contexts = (
            column_level * 32 + array.row_level(),
            size(near.left) * 512 + size(near.up) * 64 + size(near.back) * 8 + size(near.above),
            kernel_place * 32 + kernel_level,
            array.links[group] * 8 + min(7, array.o.bit_length()),
            (min(6, around) * 8 + behind) * 16 + array.near_level(k) // 2,
            min(63, array.weight_around(near)) * 32 + column_level,
        )
        counters = [table[context] for table, context in zip(self._zero, contexts, strict=True)]
        seen = array.o if g.flat else array.o * g.places + k
        x = [
            stretch(share(array.row_count, array.j, prior, 2)),
            *(counter.stretched() for counter in counters),
            stretch(share(array.group_counts[group], seen, prior, 7)),
        ]
        number = (0 if g.flat else 8) + min(array.o, 7)
        p = self._zero_mixer.predict(x, number)
        bit = coder.code(bit, p)
        self._zero_mixer.update(x, number, bit, p)
        for counter in counters:
            counter.update(bit, _ZERO.limit)
        return bit

    def _code_sign(self, coder, bit: int, array: _Array, near: Neighbors, k: int) -> int:
        value = [array.value(symbol) for symbol in near]
        n = Neighbors(*value)
        cross = n.left + n.up
        star = 2 * cross + n.up_left + n.up_right
        wide = star + n.left2 + n.up2 + n.up_left2 + n.up_right2
        sign = [0 if v == 0 else 1 if v < 0 else 2 for v in value]
        column = array.column_signs[array.column] + 8
        contexts = (
            sign[0] * 9 + sign[1] * 3 + sign[8],
            column,
            (min(max(array.row_sign, -3), 3) + 3) * 16 + column,
            signed_class(wide),
            signed_class(n.back + n.back2) * 32 + signed_class(n.above + n.above2),
            signed_class(cross),
            signed_class(star),
            signed_class(array.kernel_sign) * 32 + signed_class(array.place_sums[array.kernel(k)[0]]),
        )
        counters = [table[context] for table, context in zip(self._sign, contexts, strict=True)]
        return self._sign_mixer.code(coder, bit, counters, 0)

    def _code_size(
        self, coder, rank: int, most: int, negative: bool, array: _Array, near: Neighbors, group: int, k: int
    ) -> int:
        """1 .. most: the bit length of the rank in unary, then its lower bits."""
        m = Neighbors(*(array.magnitude[symbol] for symbol in near))
        v = Neighbors(*(array.value(symbol) for symbol in near))
        star = 2 * (v.left + v.up) + v.up_left + v.up_right
        nearby = 2 * min(15, m.left) + 2 * min(15, m.up) + min(15, m.back) + min(15, m.above)
        row_level, column_level = array.row_level(), array.column_level()
        contexts = (
            array.class_of(near.left) * 8 + array.class_of(near.up),
            row_level + column_level,
            array.links[group],
            array.kernel(k)[1],
            min(63, m.left + m.up + m.up_left + m.up_right),
            row_level * 32 + column_level,
            signed_class(-star if negative else star),
            row_level * 32 + level(nearby, 6),
        )

        def decide(bit: int, node: int) -> int:
            counters = [table[slot(context, node, 15)] for table, context in zip(self._size, contexts, strict=True)]
            return self._size_mixer.code(coder, bit, counters, node * 2 + array.geometry.flat)

        length = 1
        while length < most.bit_length() and decide(int(rank.bit_length() > length), length):
            length += 1
        out = 1
        for b in range(length - 2, -1, -1):
            out <<= 1
            if (out | 1) << b <= most:  # else a one is out of range, so it is a zero
                out |= decide(rank >> b & 1, 32 + length * 8 + out // 2 if out < 16 else 192 + length)
        return out


class _Array:
    """What is known of the array being coded."""

    def __init__(self, geometry: Geometry, alphabet: int, negatives: int, last_filters: list[int]) -> None:
        self.geometry, self.negatives = geometry, negatives
        ranks = (negatives + 1 - s if s <= negatives else s - negatives for s in range(1, alphabet))
        self.magnitude = [0, *(min(255, rank) for rank in ranks)]
        self.row_length = geometry.planes * geometry.places
        columns = min(self.row_length, _STATISTICS)
        groups = self.row_length if geometry.flat else geometry.planes
        self.column_sums, self.column_counts, self.column_signs = ([0] * columns for _ in range(3))
        self.group_counts = [0] * min(groups, _STATISTICS)
        self.links = _links(groups, len(self.group_counts), last_filters)
        self.o = self.at = self.total = self.total_count = 0

    def begin_filter(self) -> None:
        self.j = self.row_sum = self.row_count = self.row_sign = 0
        self.place_sums = [0] * 128

    def begin_plane(self) -> None:
        self.kernel_sum = self.kernel_sign = 0

    @property
    def column(self) -> int:
        return self.j % _STATISTICS

    def group(self, c: int, k: int) -> int:
        return (k if self.geometry.flat else c) % _STATISTICS

    def kernel(self, k: int) -> tuple[int, int]:
        """The place in the kernel and the mean magnitude of the kernel so far; a flat weight has none."""
        return (0, level(0, 0)) if self.geometry.flat else (min(k, 127), level(self.kernel_sum, k))

    def row_level(self) -> int:
        return level(self.row_sum, self.j)

    def column_level(self) -> int:
        return level(self.column_sums[self.column], self.o)

    def near_level(self, k: int) -> int:
        """Density of this column, twice, and of its neighbors in the image."""
        width, x = self.geometry.width, k % self.geometry.width
        columns = [self.j, self.j]
        columns += [self.j - 1] if x >= 1 else []
        columns += [self.j + 1] if x + 1 < width and k + 1 < self.geometry.places else []
        columns += [self.j - width] if k >= width else []
        columns += [self.j + width] if k + width < self.geometry.places else []
        return level(sum(self.column_counts[j % _STATISTICS] for j in columns), len(columns) * self.o)

    def neighbors(self, values: list[int], c: int, k: int) -> Neighbors:
        at, w, places, row = self.at, self.geometry.width, self.geometry.places, self.row_length
        x = k % w
        left, right, up, left2, right2 = x >= 1, x + 1 < w, k >= w, x >= 2, x + 2 < w

        def get(there: bool, distance: int) -> int:
            return values[at - distance] if there else 0

        return Neighbors(
            get(left, 1), get(up, w), get(up and left, w + 1), get(up and right, w - 1),
            get(left2, 2), get(k >= 2 * w, 2 * w), get(up and left2, w + 2), get(up and right2, w - 2),
            get(c >= 1, places), get(c >= 2, 2 * places), get(self.o >= 1, row), get(self.o >= 2, 2 * row),
            get(self.o >= 1 and self.j >= 1, row + 1), get(self.o >= 1 and self.j + 1 < row, row - 1),
        )  # fmt: skip

    def weight_around(self, near: Neighbors) -> int:
        m = [self.magnitude[symbol] for symbol in near[:8]]
        return 2 * (m[0] + m[1]) + sum(m[2:])

    def class_of(self, symbol: int) -> int:
        """Class of a magnitude: 0, 1, 2, 3 .. 4, 5 .. 8, 9 .. 16, 17 .. 32, more."""
        m = self.magnitude[symbol]
        return m if m < 3 else min(7, 2 + ((m - 1) // 2).bit_length())

    def value(self, symbol: int) -> int:
        """The magnitude with its sign."""
        return -self.magnitude[symbol] if symbol <= self.negatives else self.magnitude[symbol]

    def learn(self, symbol: int, c: int, k: int) -> None:
        """Take the symbol into all sums and go on to the next."""
        column, group = self.column, self.group(c, k)
        self.total += 1
        self.j += 1
        self.at += 1
        if symbol == 0:
            return
        m, v = self.magnitude[symbol], self.value(symbol)
        step = -1 if symbol <= self.negatives else 1
        self.total_count += 1
        self.row_count += 1
        self.row_sum += m
        self.row_sign += step
        self.column_sums[column] += m
        self.column_counts[column] += 1
        self.column_signs[column] = min(max(self.column_signs[column] + step, -7), 7)
        self.group_counts[group] += 1
        self.place_sums[self.kernel(k)[0]] += v
        if not self.geometry.flat:
            self.kernel_sum += m
            self.kernel_sign += v


def _links(groups: int, kept: int, filters: list[int]) -> list[int]:
    """What the filters of the array before say of the columns they feed: their density against the mean."""
    total, before = sum(filters), len(filters)
    if not total or groups % before:
        return [16] * kept
    return [level(filters[i // (groups // before)] * before, total) for i in range(kept)]


def signed_class(v: int) -> int:
    """The magnitude in half steps of log2, 0 .. 14, and 16 more if negative."""
    m = abs(v)
    length = m.bit_length()
    out = m if m < 3 else min(14, 2 * length - 2 + (m >> (length - 2) & 1))
    return 16 + out if v < 0 else out
