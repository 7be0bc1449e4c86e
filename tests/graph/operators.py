"""Plug-in operators for the length of a test."""

from contextlib import contextmanager

from paring.capture import _lower, _rules_activations
from paring.graph import OPS


@contextmanager
def restored():
    """Whatever is registered inside is forgotten at the end."""
    tables = (OPS, _lower.RULES, _rules_activations.ELEMENTWISE)
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, content in zip(tables, before, strict=True):
            table.clear()
            table.update(content)
