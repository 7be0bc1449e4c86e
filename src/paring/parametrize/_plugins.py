"""Packages that bring methods and trainable forms of their own: the entry points of the group ``paring.methods``.

A package names a module there; importing it registers what it has (:func:`paring.methods.method`,
:class:`paring.parametrize.FormParametrization`). Nothing is imported before a name is looked up that is not known.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from paring.errors import ParingError

#: Group of the entry points.
GROUP = "paring.methods"
_loaded: set[str] = set()


def load_plugins() -> None:
    """Import every plug-in that was not imported yet.

    Raises:
        ParingError: if one cannot be imported, naming it and the package it is from.
    """
    for point in entry_points(group=GROUP):
        if point.value not in _loaded:
            _load(point)
            _loaded.add(point.value)


def _load(point: EntryPoint) -> None:
    try:
        point.load()
    except Exception as error:  # whatever a stranger's module raises
        package = f", of package {point.dist.name}" if point.dist is not None else ""
        raise ParingError(
            "plug-in with methods cannot be imported",
            where=f"{point.name} = {point.value}{package}",
            found=f"{type(error).__name__}: {error}",
            fix="Repair or uninstall that package",
        ) from error
