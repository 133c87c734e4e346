"""The algorithms that are shipped, by the name under which they are deployed."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.algorithms.spec import SHIPPED, Plugin, resolve


@dataclass(frozen=True, slots=True)
class ShippedKind:
    """One of them.

    Attributes:
        name: what `resolve` takes.
        plugin: what runs: its declaration says what it is, when it fails, and what it requires.
    """

    name: str
    plugin: Plugin


def kinds() -> tuple[ShippedKind, ...]:
    """All that are shipped, by task and name."""
    found = [ShippedKind(path.stem, resolve(path.stem)) for path in SHIPPED.glob("*.toml")]
    return tuple(sorted(found, key=lambda kind: (_ORDER[kind.plugin.declaration.task], kind.name)))


_ORDER = {"detector": 0, "ranker": 1, "classifier": 2}
