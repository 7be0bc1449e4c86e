"""One code over any number of arrays, with the native classes' methods."""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from paring.coding._native import ReferenceCodeError
from paring.coding.reference._arithmetic import ArithmeticDecoder, ArithmeticEncoder, Teacher
from paring.coding.reference._labels import LabelModel, code_stored
from paring.coding.reference._logistic import Counter, code_plain
from paring.coding.reference._numbers import NumberModel
from paring.coding.reference._symbols import Geometry, SymbolModel
from paring.coding.reference._text import TextModel

_NEIGHBORS, _LABELS, _STORED = range(3)
_TRIED = 1 << 17
#: How an array of symbols is coded: its model, and the width of the image that a flat weight's inputs are (0: none).
Plan = tuple[int, int]


class _Session:
    def __init__(self, coder) -> None:
        self._coder = coder
        self._flags = [Counter() for _ in range(3)]
        self._models = (SymbolModel(), LabelModel(), NumberModel())
        self._text = TextModel()

    @property
    def position(self) -> int:
        return self._coder.position

    def teach(self, data: np.ndarray) -> None:
        self._text.code(Teacher(), bytearray(data.tobytes()))

    def _code_symbols(
        self, values: list[int], axes: tuple[int, int, int, int], alphabet: int, negatives: int, plan: Plan
    ) -> None:
        filters, channels, positions, width = axes
        if not values or alphabet == 1:
            return
        model, image = plan
        model = self._flag(int(model != _NEIGHBORS), 0)
        if model:
            model += self._flag(int(plan[0] != _LABELS), 1)
        flat = positions == 1
        geometry = Geometry(filters, 1 if flat else channels, channels if flat else positions, width, flat)
        if model == _STORED:
            code_stored(self._coder, values, alphabet)
        elif model == _LABELS:
            self._models[1].code(self._coder, values, geometry, alphabet)
        else:
            if flat:
                image = self._code_image(image) if filters > 1 else 0
                geometry = geometry._replace(width=image or channels)
            self._models[0].code(self._coder, values, geometry, alphabet, negatives)

    def _code_image(self, width: int) -> int:
        if not self._flag(int(width != 0), 2):
            return 0
        width = code_plain(self._coder, width - 1, 6) + 1
        if width < 2:
            raise ReferenceCodeError("image is too narrow")
        return width

    def _flag(self, bit: int, which: int) -> int:
        counter = self._flags[which]
        bit = self._coder.code(bit, counter.probability)
        counter.update(bit, 255)
        return bit


class Encoder(_Session):
    """Codes arrays into one code."""

    def __init__(self) -> None:
        super().__init__(ArithmeticEncoder())

    def symbols(
        self, values: np.ndarray, filters: int, channels: int, positions: int, width: int, alphabet: int, negatives: int
    ) -> None:
        axes, flat = (filters, channels, positions, width), values.ravel().tolist()
        plan = self._choose(flat, axes, alphabet, negatives) if flat and alphabet > 1 else (_NEIGHBORS, 0)
        self._code_symbols(flat, axes, alphabet, negatives, plan)

    def numbers(self, values: np.ndarray) -> None:
        flat, bits = values.ravel().tolist(), 8 * values.itemsize
        if not flat:
            return
        costs = []
        for stored in (False, True):
            trial = self._fork()
            trial._models[2].code(trial._coder, flat[: 1 << 16], bits, stored)
            costs.append(len(trial.finish()))
        self._models[2].code(self._coder, flat, bits, costs[1] < costs[0])

    def text(self, data: np.ndarray) -> None:
        self._text.code(self._coder, bytearray(data.tobytes()))

    def finish(self) -> bytes:
        return self._coder.finish()

    def _fork(self) -> Encoder:
        other = Encoder()
        other._flags, other._models = deepcopy((self._flags, self._models))
        return other

    def _choose(self, values: list[int], axes: tuple[int, int, int, int], alphabet: int, negatives: int) -> Plan:
        """The plan that makes the array smallest, judged by its first filters; the first of equals."""
        filters, channels, positions, width = axes
        row = channels * positions
        filters = min(max(_TRIED // row, 1), filters)
        if filters == 1:
            channels = min(max(_TRIED // positions, 1), channels)
        sample = values[: filters * channels * positions]

        def cost(plan: Plan) -> int:
            trial = self._fork()
            trial._code_symbols(sample, (filters, channels, positions, width), alphabet, negatives, plan)
            return len(trial.finish())

        plans = [(_NEIGHBORS, 0)]
        if positions == 1 and axes[0] > 1:
            plans += [(_NEIGHBORS, w) for w in range(2, 65) if w * w <= axes[1] and axes[1] % (w * w) == 0]
        plans += [(_STORED, 0)]
        plans += [(_LABELS, 0)] if alphabet > 4 else []
        return min(plans, key=cost)


class Decoder(_Session):
    """Reads back what an :class:`Encoder` coded."""

    def __init__(self, data: bytes) -> None:
        super().__init__(ArithmeticDecoder(data))

    def symbols(
        self, out: np.ndarray, filters: int, channels: int, positions: int, width: int, alphabet: int, negatives: int
    ) -> None:
        values = [0] * out.size
        self._code_symbols(values, (filters, channels, positions, width), alphabet, negatives, (_NEIGHBORS, 0))
        out.ravel()[:] = values

    def numbers(self, out: np.ndarray) -> None:
        if out.size:
            values = [0] * out.size
            self._models[2].code(self._coder, values, 8 * out.itemsize, False)
            out.ravel()[:] = values

    def text(self, out: np.ndarray) -> None:
        data = bytearray(out.size)
        self._text.code(self._coder, data)
        out[:] = np.frombuffer(bytes(data), np.uint8)

    def finish(self) -> None:
        self._coder.finish()
