"""The native coders, where they are built; without them the references of this package do their work."""

from __future__ import annotations

from typing import Any

try:
    from paring._native import coding as native
except ImportError:  # pragma: no cover - the native half is built in every tested environment
    native: Any = None  # type: ignore[no-redef]


class _ReferenceCodeError(ValueError):
    """A code that no encoder writes, found by a reference coder."""


#: What a coder, native or reference, raises at a code that no encoder writes.
CodeError: tuple[type[Exception], ...] = (_ReferenceCodeError, *((native.CodeError,) if native else ()))
ReferenceCodeError = _ReferenceCodeError
