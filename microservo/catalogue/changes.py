"""What a record does to rows, and what many of them come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Key = tuple[str, ...]
Values = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row as it shall be.

    Attributes:
        table: its name.
        key: values of the primary key, in the order of its columns.
        values: of the other columns.
        version: a row of a higher version stays as it is; None where the newest record counts.
    """

    table: str
    key: Key
    values: Values
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A row that shall not be."""

    table: str
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """All rows of a table that belong to one row of another: those that are not named shall not be.

    Attributes:
        table: its name.
        parent: the first value of their primary keys.
        rows: values by the second.
        of: table of the row that they belong to, if they count only where that does.
        version: of that row.
    """

    table: str
    parent: str
    rows: Mapping[str, Values]
    of: str = ""
    version: int | None = None


Change = Row | Gone | Details


@dataclass(slots=True)
class Fold:
    """The changes of a batch as one state for each row that they touch, in whatever order that is written.

    Attributes:
        known: versions of rows that there are, by table and key.
        rows: by table and key; None for one that shall not be.
        details: by table and parent.
    """

    known: dict[tuple[str, Key], int] = field(default_factory=dict)
    rows: dict[str, dict[Key, Row | None]] = field(default_factory=dict)
    details: dict[str, dict[str, Mapping[str, Values]]] = field(default_factory=dict)

    def add(self, changes: Iterable[Change]) -> None:
        """Enters the changes of one record, in the order of the log."""
        for change in changes:
            if isinstance(change, Details):
                if not self._is_past(change.of, (change.parent,), change.version):
                    self.details.setdefault(change.table, {})[change.parent] = change.rows
            elif isinstance(change, Gone):
                self.rows.setdefault(change.table, {})[change.key] = None
            elif not self._is_past(change.table, change.key, change.version):
                self.rows.setdefault(change.table, {})[change.key] = change
                if change.version is not None:
                    self.known[change.table, change.key] = change.version

    def _is_past(self, table: str, key: Key, version: int | None) -> bool:
        return version is not None and self.known.get((table, key), version) > version


def versioned_keys(changes: Iterable[Change]) -> dict[str, set[Key]]:
    """The rows, by table, of which the version has to be known before these changes are folded."""
    found: dict[str, set[Key]] = {}
    for change in changes:
        if isinstance(change, Row) and change.version is not None:
            found.setdefault(change.table, set()).add(change.key)
    return found
