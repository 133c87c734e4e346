"""Fields of a record that lie side by side: one entry of each for every point, line, span, feature or edge.

A schema declares them: `one_per` names what there is an entry for, and fields of one name are equally long.
A field with a default may be empty instead, unless the first of its name has a default too. Where the
entries are numbers that lie in `bytes`, `dtype` says which, in NumPy's notation; `index_into` names the field
with the texts that they are indexes into.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

_KNOWN_LENGTHS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One of the fields that lie side by side.

    Attributes:
        name: of the field.
        one_per: what it has an entry for.
        dtype: of its numbers, in NumPy's notation; empty where it is an array.
        index_into: field of the texts that its numbers are indexes into; empty where they are none.
        may_be_empty: whether the record may do without it.
    """

    name: str
    one_per: str
    dtype: str = ""
    index_into: str = ""
    may_be_empty: bool = False

    @property
    def width(self) -> int:
        """Bytes of an entry; 1 in an array, whose length counts its entries."""
        return int(re.sub(r"\D", "", self.dtype) or 1)


def columns_of(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a record, in the order of its schema."""
    entries = [entry for entry in schema["fields"] if "one_per" in entry]
    # The last that is put in holds: the first of each name.
    firsts = {entry["one_per"]: entry for entry in reversed(entries)}
    return tuple(
        Column(
            name=entry["name"],
            one_per=entry["one_per"],
            dtype=entry.get("dtype", ""),
            index_into=entry.get("index_into", ""),
            may_be_empty="default" in entry and "default" not in firsts[entry["one_per"]],
        )
        for entry in entries
    )


def check_of(schema: Mapping[str, Any]) -> Callable[[Any], None] | None:
    """What raises ValueError for a record whose columns differ in length; None where it has none."""
    columns = columns_of(schema)
    if not columns:
        return None
    # Of one name alone it gives no tuple.
    first, *others = (column.name for column in columns)
    fields_of = attrgetter(first, *others) if others else lambda record: (getattr(record, first),)

    # The batches of a service are mostly of a few lengths, and this is asked for every message.
    @lru_cache(_KNOWN_LENGTHS)
    def problem(lengths: tuple[int, ...]) -> str:
        return _problem(columns, lengths)

    def check(record: Any) -> None:
        if found := problem(tuple(map(len, fields_of(record)))):
            raise ValueError(found)

    return check


def _problem(columns: Sequence[Column], lengths: Sequence[int]) -> str:
    """Names the first column that is not as long as it must be; '' if all are."""
    counts: dict[str, tuple[Column, int]] = {}
    for column, length in zip(columns, lengths, strict=True):
        first, count = counts.setdefault(column.one_per, (column, length // column.width))
        if length != count * column.width and (length or not column.may_be_empty):
            return (
                f"column {column.name} has {length / column.width:g} entries; "
                f"expected {count} as of {first.name}, one per {column.one_per}"
            )
    return ""
