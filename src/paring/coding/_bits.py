"""Bits, most significant first."""

from __future__ import annotations

from paring.errors import FormatError


class BitWriter:
    """Appends numbers of given widths."""

    def __init__(self) -> None:
        self._value = 0
        self.length = 0

    def write(self, value: int, width: int) -> None:
        """The ``width`` lowest bits of ``value``."""
        self._value = self._value << width | value
        self.length += width

    def finish(self) -> bytes:
        """All bits, filled up with zeros to whole bytes."""
        spare = -self.length % 8
        return (self._value << spare).to_bytes((self.length + spare) // 8, "big")


class BitReader:
    """Takes numbers of given widths off a byte string.

    Attributes:
        position: the next bit.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self.position = position

    def read(self, width: int) -> int:
        """The next ``width`` bits.

        Raises:
            FormatError: if there are not so many.
        """
        end = self.position + width
        if end > 8 * len(self._data):
            raise FormatError("code runs out", where=f"+{len(self._data)}")
        first, last = self.position // 8, (end + 7) // 8
        value = int.from_bytes(self._data[first:last], "big") >> (8 * last - end)
        self.position = end
        return value & ((1 << width) - 1)

    def align(self) -> int:
        """Skip to the next whole byte and return its number.

        Raises:
            FormatError: if a skipped bit is not zero.
        """
        if self.read(-self.position % 8):
            raise FormatError("filling bits are not zero", where=f"+{self.position // 8 - 1}")
        return self.position // 8
