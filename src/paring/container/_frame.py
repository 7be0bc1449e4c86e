"""The frame: magic, version, section table, checksums. Every byte of a file is under a checksum and in a section."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from paring.container._bytes import Reader, Writer

MAGIC = b"\x89PAR"
VERSION = 1
#: Where the section table starts, in bytes.
TABLE = len(MAGIC) + 1
MAX_SECTIONS = 4096

NETWORK = 1
ADAPTIVE = 2
HUFFMAN = 3


@dataclass(frozen=True)
class Section:
    """One section of a file.

    Attributes:
        kind: ``NETWORK``, ``ADAPTIVE`` or ``HUFFMAN``.
        items: decoded bytes of the network section; number of weights of the others.
        data: the coded bytes.
        offset: where they start in the file.
    """

    kind: int
    items: int
    data: bytes
    offset: int = 0


def join(sections: Sequence[Section]) -> bytes:
    """The file of these sections."""
    head = Writer()
    head.data += MAGIC
    head.data.append(VERSION)
    head.number(len(sections))
    for section in sections:
        head.data.append(section.kind)
        head.number(section.items)
        head.number(len(section.data))
        head.data += _checksum(section.data)
    head.data += _checksum(head.data)
    return bytes(head.data) + b"".join(section.data for section in sections)


def split(data: bytes, where: str) -> list[Section]:
    """The sections of a file.

    Raises:
        FormatError: unless every byte is in its place and every checksum holds.
    """
    source = Reader(data, where)
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise source.error("file is not a .pare file", found=data[:4].hex(" ") or "nothing", expected=MAGIC.hex(" "))
    source.take(len(MAGIC))
    version = source.take(1)[0]
    if version != VERSION:
        source.offset -= 1
        raise source.error("format version is unknown", found=version, expected=VERSION, fix="Update paring")
    table = [_read_row(source) for _ in range(source.count(7, MAX_SECTIONS))]
    head = data[: source.offset]
    if source.take(4) != _checksum(head):
        source.offset -= 4
        raise source.error("checksum of the header does not hold", fix="Fetch the file again: it is damaged")
    if (whole := sum(row[2] for row in table)) != source.left:
        raise source.error("file has the wrong length", found=f"{source.left} bytes of sections", expected=whole)
    sections = []
    for number, (kind, items, length, checksum) in enumerate(table):
        offset = source.offset
        body = source.take(length)
        if _checksum(body) != checksum:
            source.offset = offset
            raise source.error(f"checksum of section {number} does not hold", fix="Fetch the file again: it is damaged")
        sections.append(Section(kind, items, body, offset))
    if [s.kind for s in sections[:1]] != [NETWORK] or any(s.kind not in (ADAPTIVE, HUFFMAN) for s in sections[1:]):
        raise source.error("sections are not a network and its weights", found=[s.kind for s in sections])
    return sections


def _read_row(source: Reader) -> tuple[int, int, int, bytes]:
    return source.take(1)[0], source.number(), source.number(), source.take(4)


def _checksum(data: bytes | bytearray) -> bytes:
    return struct.pack("<I", zlib.crc32(data))
