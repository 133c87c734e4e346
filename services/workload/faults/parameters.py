"""Reads the parameters of a fault, strictly."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.errors import InvalidInput


class Parameters:
    """The parameters of a fault of one kind, each taken once by name."""

    def __init__(self, kind: str, values: Mapping[str, object]) -> None:
        self._kind = kind
        self._left = dict(values)

    def number(self, name: str, *, low: float, high: float) -> float:
        """A number between the bounds.

        Raises:
            InvalidInput: it is missing, not a number, or out of bounds.
        """
        value = self._left.pop(name, None)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            msg = f"{self._kind}: {name} is {value!r}; give a number from {low:g} to {high:g}"
            raise InvalidInput(msg)
        return float(value)

    def integer(self, name: str, *, low: int, high: int) -> int:
        value = self.number(name, low=low, high=high)
        if not value.is_integer():
            msg = f"{self._kind}: {name} is {value!r}; give a whole number"
            raise InvalidInput(msg)
        return int(value)

    def choice(self, name: str, choices: frozenset[str]) -> str:
        """One of the choices, or "" (also when missing) for all of them."""
        value = self._left.pop(name, "")
        if value != "" and (not isinstance(value, str) or value not in choices):
            msg = f'{self._kind}: {name} is {value!r}; choose one of {sorted(choices)}, or "" for all'
            raise InvalidInput(msg)
        return str(value)

    def text(self, name: str) -> str:
        """Any text.

        Raises:
            InvalidInput: it is missing, or no text.
        """
        value = self._left.pop(name, None)
        if not isinstance(value, str):
            msg = f"{self._kind}: {name} is {value!r}; give a text"
            raise InvalidInput(msg)
        return value

    def refuse_leftovers(self) -> None:
        if self._left:
            msg = f"{self._kind}: unknown parameters {sorted(self._left)}; leave them out"
            raise InvalidInput(msg)
