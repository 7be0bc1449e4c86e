"""Bytes with bounds: what the network section is written with and read from."""

from __future__ import annotations

import struct

from paring.errors import FormatError

#: Longest string, in bytes of UTF-8.
MAX_STRING = 4096
_DECIMALS = 15


class Writer:
    """Appends canonical fields."""

    def __init__(self) -> None:
        self.data = bytearray()

    def number(self, value: int) -> None:
        """A non-negative integer below 2**63 as LEB128."""
        while value > 127:
            self.data.append(value & 127 | 128)
            value >>= 7
        self.data.append(value)

    def signed(self, value: int) -> None:
        """An integer by zigzag: 0, -1, 1, -2, ..."""
        self.number(value * 2 if value >= 0 else -value * 2 - 1)

    def real(self, value: float) -> None:
        """A number as m / 10**e, e the smallest of 0 .. 15 that gives it exactly; else e = 16 and binary64."""
        for exponent in range(_DECIMALS + 1):
            mantissa = round(value * 10**exponent) if abs(value) < 1e15 else 1 << 53
            if abs(mantissa) < 1 << 31 and _bits(mantissa / 10**exponent) == _bits(value):
                self.number(exponent)
                self.signed(mantissa)
                return
        self.number(_DECIMALS + 1)
        self.data += _bits(value)

    def text(self, value: str) -> None:
        """A string: bytes of UTF-8, then they.

        Raises:
            FormatError: if it is too long.
        """
        data = value.encode("utf-8", "strict")
        if len(data) > MAX_STRING:
            raise FormatError("string is too long", found=f"{len(data)} bytes", expected=f"at most {MAX_STRING}")
        self.number(len(data))
        self.data += data


class Reader:
    """Takes fields off a byte string; every read is bounded.

    Args:
        data: the bytes.
        where: how errors call the byte string; the offset is appended.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where
        self.offset = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self.data) - self.offset

    def error(self, what: str, **details: object) -> FormatError:
        """An error at the present offset."""
        return FormatError(what, where=f"{self.where}, byte {self.offset}", **details)  # type: ignore[arg-type]

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > self.left:
            raise self.error("data ends too early", found=f"{self.left} bytes", expected=count)
        self.offset += count
        return self.data[self.offset - count : self.offset]

    def number(self, most: int = (1 << 63) - 1) -> int:
        """A number of at most ``most``."""
        value = shift = 0
        start = self.offset
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 62:
                self.offset = start
                raise self.error("number is too long", expected="at most 9 bytes")
        self.offset, end = start, self.offset
        if byte == 0 and shift > 7:
            raise self.error("number is not in its shortest form")
        if value > most:
            raise self.error("number is too large", found=value, expected=f"at most {most}")
        self.offset = end
        return value

    def count(self, least_bytes: int, most: int) -> int:
        """How many items follow, when each takes at least so many bytes."""
        return self.number(min(most, max(self.left - 1, 0) // least_bytes))

    def signed(self) -> int:
        """An integer by zigzag."""
        value = self.number()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def real(self) -> float:
        """A number as :meth:`Writer.real` writes it."""
        exponent = self.number(_DECIMALS + 1)
        if exponent > _DECIMALS:
            return struct.unpack("<d", self.take(8))[0]
        return self.signed() / 10**exponent

    def text(self) -> str:
        """A string."""
        data = self.take(self.number(MAX_STRING))
        try:
            return data.decode("utf-8", "strict")
        except UnicodeDecodeError:
            self.offset -= len(data)
            raise self.error("string is not UTF-8") from None


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)
