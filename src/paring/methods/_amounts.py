"""How much a method does to which layer: one spelling for all methods, checked before anything is changed.

prune(network, 0.2)                          # every layer
prune(network, keep=0.2)                     # the same, named
prune(network, amount=0.8)                   # the same, by what goes
prune(network, {"fc*": 0.05, "conv1": 0.5})  # by shell patterns, later ones override earlier ones
prune(network, ["fc*"], keep=0.05)           # patterns and one amount
ternarize(network, ["fc*"])                  # patterns, where the method has a usual amount
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paring.errors import ArgumentError

#: How strongly a method acts, as a user writes it.
Strength = float | int | str
#: What a method takes: an amount for all layers, a mapping of patterns to amounts, or patterns.
Targets = Any


@dataclass(frozen=True)
class Amount:
    """What a method's targets are.

    Attributes:
        name: of the keyword (``keep``, ``centroids``).
        what: it is, for errors: ``invalid {what}``.
        expected: what would do, in words.
        check: gives the value that the method works with; ArgumentError, ValueError or TypeError if it cannot be.
        read: from a user's text on the command line; ValueError if it cannot be read.
        show: as text, for tables and plots.
        usual: for layers that are named without an amount; None: there has to be one.
        complement: name of the keyword for ``1 - value``, if there is one.
    """

    name: str
    what: str
    expected: str
    check: Callable[[Any], Any]
    read: Callable[[str], Any] = str
    show: Callable[[Any], str] = str
    usual: Any = None
    complement: str = ""

    def value(self, given: Any, where: str | None = None) -> Any:
        """The amount that the method works with.

        Raises:
            ArgumentError: if it cannot be.
        """
        try:
            return self.check(given)
        except ArgumentError as error:
            raise ArgumentError(
                error.what, where=error.where or where, found=error.found, expected=error.expected, fix=error.fix
            ) from None
        except (TypeError, ValueError, OverflowError):
            raise ArgumentError(
                f"invalid {self.what}", where=where, found=repr(given), expected=self.expected, fix=self._hint()
            ) from None

    def targets(self, given: Any, named: Any = None, complement: Any = None) -> dict[str, Any]:
        """Pattern to amount.

        Args:
            given: what stood behind the network: an amount, a mapping of patterns to amounts, or patterns.
            named: what stood behind ``name=``.
            complement: what stood behind ``complement=``.

        Raises:
            ArgumentError: if there is no amount, more than one, or one that cannot be.
        """
        if complement is not None:
            if named is not None:
                raise ArgumentError(f"{self.name}= and {self.complement}= say the same", fix="Give one of them")
            if given is not None and not self._is_patterns(given):
                raise ArgumentError(
                    "two amounts were given", found=f"{_short(given)} and {self.complement}={_short(complement)}"
                )
            return self.targets(given, self._reverse(complement))
        if named is not None:
            if given is None:
                given = named
            elif isinstance(named, Mapping) or not self._is_patterns(given):
                raise ArgumentError(
                    "two amounts were given",
                    found=f"{_short(given)} and {self.name}={_short(named)}",
                    fix=f"Give {self.name}= alone, or patterns and one {self.name}=",
                )
            else:
                return {pattern: self.value(named) for pattern in _patterns(given)}
        if isinstance(given, Mapping):
            for pattern in given:
                if not isinstance(pattern, str):
                    raise ArgumentError("pattern is no text", found=repr(pattern), expected="such as 'fc*'")
            return {pattern: self.value(value, pattern) for pattern, value in given.items()}
        if given is not None and not self._is_patterns(given):
            return {"*": self.value(given)}
        if self.usual is None:
            raise ArgumentError(
                f"no {self.what} was given", found=None if given is None else _short(given), fix=self._hint()
            )
        return dict.fromkeys(_patterns(given) if given is not None else ["*"], self.value(self.usual))

    def _reverse(self, complement: Any) -> Any:
        if isinstance(complement, Mapping):
            return {pattern: self._reverse(value) for pattern, value in complement.items()}
        try:
            return round(1 - complement, 12)
        except TypeError:
            raise ArgumentError(
                f"invalid {self.complement}", found=repr(complement), expected="0 to 1", fix=self._hint()
            ) from None

    def _is_patterns(self, given: Any) -> bool:
        if isinstance(given, str):
            try:
                self.check(given)
            except (ArgumentError, TypeError, ValueError, OverflowError):
                return True
            return False
        return isinstance(given, list | tuple | set) and bool(given) and all(isinstance(one, str) for one in given)

    def _hint(self) -> str:
        if self.complement:
            return f"Give {self.name}= (or no name), the share that stays, or {self.complement}=, the share that goes"
        return f"Give {self.name}=: {self.expected}, for all layers or by patterns"


def number(low: float, high: float, *, above: bool = False, whole: bool = False) -> Callable[[Any], Any]:
    """A check for a number from ``low`` (or just above it) to ``high``."""

    def check(value: Any) -> Any:
        if isinstance(value, bool | str):
            raise TypeError
        got = float(value)
        if not low <= got <= high or (above and got == low) or (whole and got != int(got)):
            raise ValueError
        return int(got) if whole else got

    return check


def one_of(*values: str) -> Callable[[Any], str]:
    """A check for one of some words."""

    def check(value: Any) -> str:
        if value not in values:
            raise ValueError
        return value

    return check


def read_share(text: str) -> float:
    """``50%`` or ``0.5``."""
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def show_share(value: float) -> str:
    """As a percentage."""
    return f"{100 * value:.4g} %"


def share_of(what: str, *, above: bool = False) -> Amount:
    """A share that is kept, which its complement ``amount=`` says by what goes, as torch does."""
    return Amount(
        "keep",
        f"fraction of {what} to keep",
        "above 0, up to 1 (100 %)" if above else "0 to 1 (0 to 100 %)",
        number(0, 1, above=above),
        read_share,
        show_share,
        complement="amount",
    )


def bits_of(name: str, what: str, low: int, high: int, usual: int | None = None) -> Amount:
    """A width in bits."""
    return Amount(name, f"width of {what}", f"{low} to {high} bits", number(low, high, whole=True), int, usual=usual)


def _patterns(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
