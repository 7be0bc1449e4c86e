"""Binary arithmetic coder: carry-less, 64-bit interval, 16-bit probabilities."""

from __future__ import annotations

from paring.coding._native import ReferenceCodeError

_ALL = (1 << 64) - 1
#: Coded last of all, bit by bit at probability 1/2: a code that was cut would else be a good code of other last values.
_END_MARK = 0xA55A


class ArithmeticEncoder:
    """Writes bits.

    Attributes:
        decodes: False; the models ask it whether to look at their arrays or to fill them in.
    """

    decodes = False

    def __init__(self) -> None:
        self._low, self._high = 0, _ALL
        self._bytes = bytearray()

    @property
    def position(self) -> int:
        """Bytes that are settled."""
        return len(self._bytes)

    def code(self, bit: int, one: int) -> int:
        """Write ``bit``, which is a one with probability ``one`` / 65536 (1 .. 65535); returns it."""
        middle = _split(self._low, self._high, one)
        if bit:
            self._high = middle
        else:
            self._low = middle + 1
        while not (self._low ^ self._high) >> 56:
            self._bytes.append(self._high >> 56)
            self._low, self._high = self._low << 8 & _ALL, (self._high << 8 | 0xFF) & _ALL
        return int(bit)

    def finish(self) -> bytes:
        """End the code and return it."""
        for i in range(15, -1, -1):
            self.code(_END_MARK >> i & 1, 32768)
        value, length = _end(self._low, self._high)
        return bytes(self._bytes) + value.to_bytes(8, "big")[:length]


class ArithmeticDecoder:
    """Reads the bits of an :class:`ArithmeticEncoder`."""

    decodes = True

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._low, self._high = 0, _ALL
        self._value = int.from_bytes(data[:8].ljust(8, b"\0"), "big")
        self.position = 0

    def code(self, bit: int, one: int) -> int:
        """Read a bit; the argument ``bit`` is not looked at."""
        middle = _split(self._low, self._high, one)
        bit = int(self._value <= middle)
        if bit:
            self._high = middle
        else:
            self._low = middle + 1
        while not (self._low ^ self._high) >> 56:
            following = self.position + 8
            byte = self._data[following] if following < len(self._data) else 0
            self._low, self._high = self._low << 8 & _ALL, (self._high << 8 | 0xFF) & _ALL
            self._value = (self._value << 8 | byte) & _ALL
            self.position += 1
            if self.position > len(self._data):
                raise ReferenceCodeError("code runs out")
        return bit

    def finish(self) -> None:
        """Check that the code ends here as an encoder would have ended it."""
        for i in range(15, -1, -1):
            if self.code(0, 32768) != _END_MARK >> i & 1:
                raise ReferenceCodeError("end mark is missing")
        value, length = _end(self._low, self._high)
        left = len(self._data) - self.position
        if left != length:
            raise ReferenceCodeError("bytes are left over" if left > length else "code runs out")
        if self._value != value:
            raise ReferenceCodeError("code does not end as it must")


class Teacher:
    """Neither writes nor reads: what passes through only teaches."""

    decodes = False

    def code(self, bit: int, one: int) -> int:
        """Return ``bit``."""
        return int(bit)


def _split(low: int, high: int, one: int) -> int:
    """The last value that stands for a one."""
    width = high - low
    return low + (width >> 16) * one + ((width & 0xFFFF) * one >> 16)


def _end(low: int, high: int) -> tuple[int, int]:
    """The shortest byte string (as the head of 64 bits, and its length) that lies in the interval."""
    for length in range(8):
        rest = (1 << (64 - 8 * length)) - 1
        value = (low + rest) & ~rest
        if value <= high:
            return value, length
    return low, 8
