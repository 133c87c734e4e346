"""How many requests a fault could meet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np

from microservo.adapters.broker import Broker
from microservo.domain.telemetry import CLIENT_SPAN, PRODUCER_SPAN, Int64, span_columns
from microservo.log.ranges import read_ranges
from microservo.log.runs import find_run
from schemas.catalogue import TELEMETRY_TRACES
from schemas.codec import SchemaError, decode_as
from schemas.records import SpanBatch


class Exposure:
    """When requests were sent to each service of a run.

    Args:
        begins_us: by service, ascending; microseconds UTC.
    """

    def __init__(self, begins_us: Mapping[str, Int64]) -> None:
        self._begins_us = begins_us

    @classmethod
    def read(cls, broker: Broker, run_id: str, topic_prefix: str) -> Self:
        """That of a run on a broker, by the spans of those who sent the requests."""
        batches = []
        with broker.consumer(group_id=None) as consumer:
            for message in read_ranges(
                consumer, find_run(broker, run_id, topic_prefix).ranges(TELEMETRY_TRACES)
            ):
                # What can't be read is on the dead-letter topics.
                with contextlib.suppress(SchemaError):
                    if message.value:
                        batches.append(decode_as(SpanBatch, message.value))
        return cls.of(batch for batch in batches if batch.run_id == run_id)

    @classmethod
    def of(cls, batches: Iterable[SpanBatch]) -> Self:
        """That of some spans."""
        found: dict[str, list[Int64]] = {}
        for batch in batches:
            columns = span_columns(batch)
            is_call = np.isin(columns.kind, (CLIENT_SPAN, PRODUCER_SPAN))
            for number, peer in enumerate(batch.peers):
                sent = columns.start_us[is_call & (columns.peer == number)]
                if peer and len(sent):
                    found.setdefault(peer, []).append(sent)
        return cls({peer: np.sort(np.concatenate(sent)) for peer, sent in found.items()})

    def calls(self, service: str, from_us: int | None, until_us: int | None) -> int:
        """Requests to a service that began in [from, until); 0 where one of both is not known."""
        begins_us = self._begins_us.get(service)
        if begins_us is None or from_us is None or until_us is None:
            return 0
        first, last = np.searchsorted(begins_us, (from_us, until_us)).tolist()
        return int(last - first)
