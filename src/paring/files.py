"""One safe way to read a file whole and one to write it: nothing half-written, no link followed, no device touched."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from paring.errors import OutputError


def read_file(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """All bytes of a regular file. A pipe or a device is refused at once, it is never waited for.

    Args:
        path: the file; links are followed.
        most: largest number of bytes that is read; ``None`` for any.

    Raises:
        OSError: if it cannot be read, is no regular file, or is larger than ``most`` bytes; ``strerror`` says why.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if most is not None and status.st_size > most:
            raise OSError(errno.EFBIG, f"{status.st_size:,} bytes, at most {most:,} are read", str(path))
        return file.read()


def check_archive(path: str | os.PathLike[str]) -> None:
    """Refuse a zip archive whose entries say that they unpack to more bytes than it has, before one is unpacked.

    For archives that are written without compression, as torch's are; a file of another kind passes.

    Raises:
        ValueError: with both numbers.
        OSError: if it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > (size := os.stat(path).st_size):
        raise ValueError(f"archive of {size:,} bytes that would unpack to {unpacked:,}")


def write_atomic(
    path: str | os.PathLike[str], data: bytes, check: Callable[[Path], None] | None = None, what: str = "file"
) -> None:
    """Put ``data`` into ``path`` so that a crash leaves either the old file or the new one.

    The bytes go to a new file beside it, of a name nobody can foretell, which then takes its place. A link at ``path``
    is replaced, not followed.

    Args:
        path: the file.
        data: all its bytes.
        check: is given the new file before it takes its place; what it raises is passed on.
        what: what the file is, for an error.

    Raises:
        OutputError: if it cannot be written, or ``path`` is a folder, a device or a pipe; nothing is left then.
    """
    path = Path(path)
    temporary = None
    try:
        if path.exists() and not path.is_symlink() and not path.is_file():
            raise OutputError(f"{what} cannot be written", where=path, found="a folder, a device or a pipe is there")
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OutputError:
        raise
    except OSError as error:
        fix = None if path.parent.is_dir() else "Make the folder first"
        raise OutputError(f"{what} cannot be written", where=path, found=error.strerror, fix=fix) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str], name: str = "*") -> None:
    """Delete what killed writes of ``name`` (a shell pattern) left in a folder that belongs to one program."""
    for path in Path(folder).glob(f".{name}.????????.part"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
