"""The fields of a document as Elasticsearch's `fields` gives them: dotted names, a list of values each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from microservo.domain.telemetry import Int64

Fields = Mapping[str, Sequence[Any]]

TIME = "@timestamp"


def text(fields: Fields, *names: str) -> str:
    """The first of some fields that says something; empty for none."""
    for name in names:
        values = fields.get(name)
        if values and values[0] not in (None, ""):
            return str(values[0])
    return ""


def number(fields: Fields, *names: str) -> float:
    """The first of some fields that is a number; NaN for none."""
    for name in names:
        values = fields.get(name)
        if values:
            try:
                return float(values[0])
            except (TypeError, ValueError):
                continue
    return float("nan")


class Documents:
    """The fields of some documents, by columns: what few of them have costs little.

    Args:
        documents: in their order.
    """

    def __init__(self, documents: Sequence[Fields]) -> None:
        self._documents = documents
        self._names = frozenset[str]().union(*documents)

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Fields]:
        return iter(self._documents)

    def have(self, *names: str) -> bool:
        """Whether any of them has any of some fields."""
        return not self._names.isdisjoint(names)

    def texts(self, *names: str) -> list[str]:
        """What `text` gives for each."""
        found = [""] * len(self._documents)
        for name in reversed([each for each in names if each in self._names]):
            found = [
                str(first)
                if (values := fields.get(name)) and (first := values[0]) not in (None, "")
                else other
                for fields, other in zip(self._documents, found, strict=True)
            ]
        return found


def flattened(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The fields of a nested document.

    Example:
        >>> flattened({"log": {"level": "INFO"}, "tags": ["a", "b"]})
        {'log.level': ['INFO'], 'tags': ['a', 'b']}
    """
    found: dict[str, list[Any]] = {}
    _flatten(document, "", found)
    return found


def _flatten(document: Mapping[str, Any], prefix: str, found: dict[str, list[Any]]) -> None:
    for key, value in document.items():
        if isinstance(value, Mapping):
            _flatten(value, f"{prefix}{key}.", found)
        else:
            found[prefix + key] = value if isinstance(value, list) else [value]


def microseconds(instants: Sequence[str]) -> Int64:
    """Epoch microseconds of instants in ISO 8601 and UTC, up to nanoseconds; shape (instants,).

    Raises:
        ValueError: one is none.

    Example:
        >>> microseconds(["1970-01-01T00:00:01.000002999Z"]).tolist()
        [1000002]
    """
    # NumPy knows no time zones, and wants to be told so.
    plain = [each[:-1] if each[-1:] == "Z" else each.removesuffix("+00:00") for each in instants]
    return np.array(plain, "datetime64[ns]").astype(np.int64) // 1000


def hex_id(written: str, width: int) -> bytes:
    """The bytes of an id in hexadecimal; none where it is no id of that width."""
    if len(written) != 2 * width:
        return b""
    try:
        return bytes.fromhex(written)
    except ValueError:
        return b""
