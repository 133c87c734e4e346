"""What logs and spans share: records under a resource, in columns, without those that can't be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from microservo.adapters.otlp.checks import Decoded, Refused, put_aside
from microservo.adapters.otlp.resource import HasResource, fault_of, origin_of
from microservo.domain.rows import Rows

Record = TypeVar("Record", bound=Message)


class Columns(Protocol):
    """The fields of many records, a list for each."""

    def faults(self, now_us: int, of_all: str | None) -> dict[int, str]:
        """Why records can't be used, by position; `of_all` goes for every one."""

    def rows(self, service: str, instance: str) -> Rows:
        """The records as rows."""


def decode_groups(
    groups: Iterable[tuple[HasResource, Sequence[Record]]],
    columns_of: Callable[[Sequence[Record]], Columns],
    now_us: int,
) -> Decoded:
    """The records of each resource as rows; `now_us` judges what is future-dated."""
    rows: list[Rows] = []
    refused: list[Refused] = []
    for group, found in groups:
        if not found:
            continue
        service, instance = origin_of(group)
        columns = columns_of(found)
        reasons = columns.faults(now_us, fault_of(service, instance))
        if reasons:
            refused += [put_aside(found[at], why, service, instance) for at, why in sorted(reasons.items())]
            columns = columns_of([record for at, record in enumerate(found) if at not in reasons])
        if len(reasons) < len(found):
            rows.append(columns.rows(service, instance))
    return Decoded(rows=tuple(rows), refused=tuple(refused))
