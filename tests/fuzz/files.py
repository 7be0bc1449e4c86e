"""Coverage-guided fuzzing of whole files (atheris, libFuzzer for Python): sections are free, checksums always hold.

Whatever the bytes are, reading them ends in a network or in one FormatError, in bounded time and memory; a network that
was read is written as the same bytes again.

    python tests/fuzz/files.py seeds tests/fuzz/seeds/files     # writes the seeds
    python tests/fuzz/files.py CORPUS [SEEDS] -max_total_time=600 -rss_limit_mb=1024 -timeout=10
"""

import struct
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

#: In front of each section of an input: kind, items, length.
HEAD = struct.Struct("<BIH")


def pack(data: bytes) -> bytes:
    """A valid file as an input: its network section decoded, the others as they are."""
    network, *bodies = _frame.split(data, "seed")
    plain = _network.decode(network.data, network.items, "seed")
    parts = [HEAD.pack(_frame.NETWORK, 0, len(plain)) + plain]
    parts += [HEAD.pack(body.kind, body.items, len(body.data)) + body.data for body in bodies]
    return b"".join(parts)


def unpack(data: bytes) -> bytes:
    """An input as a file whose checksums hold."""
    sections = []
    while len(data) >= HEAD.size and len(sections) < 8:
        kind, items, length = HEAD.unpack_from(data)
        body, data = data[HEAD.size : HEAD.size + length], data[HEAD.size + length :]
        if not sections:
            sections.append(_frame.Section(_frame.NETWORK, len(body), _network.encode(body)))
        else:
            sections.append(_frame.Section(_frame.ADAPTIVE + kind % 2, items, body))
    return _frame.join(sections)


def one_input(data: bytes) -> None:
    """Read it; what is read must write itself."""
    whole = unpack(data)
    try:
        contents, sections, _ = _file._decode(whole, "fuzz")
    except FormatError:
        return
    coding = "huffman" if any(section.kind == _frame.HUFFMAN for section in sections) else "adaptive"
    again, *_ = _file._decode(_file._encode(contents, coding), "again")
    if not _file._same(again, contents):
        raise AssertionError("what was read is not what is written")


def seeds(folder: Path) -> None:
    """A few small valid files as inputs: every form and operator of the tests, both codings."""
    from paring.container import write
    from tests.container.test_file import contents, small
    from tests.fuzz.corruptions import network

    folder.mkdir(parents=True, exist_ok=True)
    for name, made in (("every_form", network(np.random.default_rng(0))), ("usual", contents()), ("bare", small())):
        for coding in ("adaptive", "huffman"):
            path = folder / f"{name}_{coding}"
            write(path, made, coding)
            path.write_bytes(pack(path.read_bytes()))


if sys.argv[1:2] == ["seeds"]:
    from paring.container import _file, _frame, _network

    seeds(Path(sys.argv[2]))
elif __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["paring.container", "paring.forms", "paring.graph", "paring.coding"]):
        from paring.container import _file, _frame, _network
        from paring.errors import FormatError

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
