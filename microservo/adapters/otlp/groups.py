"""What logs and spans share: records under a resource, in columns, without those that can't be used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from google.protobuf.message import Message

from microservo.adapters.otlp.checks import Decoded, Instants, Refused
from microservo.adapters.otlp.json_requests import to_json
from microservo.adapters.otlp.resource import Origin
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Int64


class Columns(Protocol):
    """The fields of many records, a list for each."""

    @property
    def records(self) -> Sequence[Message]:
        """The records themselves."""

    @property
    def event_us(self) -> Int64:
        """The instants by which the records fall into windows."""

    def faults(self, now_us: int) -> dict[int, str]:
        """Why records can't be used, by position."""

    def kept(self, positions: Sequence[int]) -> Columns:
        """The fields of the records at these positions alone."""

    def rows(self, origin: Origin) -> Rows:
        """The records as rows of who sent them."""


def decode_groups(groups: Iterable[tuple[Origin, Columns]], instants: Instants) -> Decoded:
    """The records of each resource as rows."""
    rows: list[Rows] = []
    refused: list[Refused] = []
    too_old = 0
    for origin, columns in groups:
        found = columns.records
        reasons = columns.faults(instants.now_us)
        if reasons:
            refused += [dead_letter(found[at], why, origin) for at, why in sorted(reasons.items())]
        if len(reasons) < len(found):
            good = [at for at in range(len(found)) if at not in reasons] if reasons else None
            kept = columns if good is None else columns.kept(good)
            rows.append(kept.rows(origin))
            too_old += int(np.count_nonzero(kept.event_us < instants.oldest_us))
    return Decoded(rows=tuple(rows), refused=tuple(refused), too_old=too_old)


def dead_letter(record: Message, reason: str, origin: Origin) -> Refused:
    """A record as a JSON document for the dead-letter topic."""
    document: dict[str, Any] = {
        "service": origin.service,
        "instance": origin.instance,
        "record": to_json(record),
    }
    return Refused(
        reason=reason, document=json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    )
