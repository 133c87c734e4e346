"""Rows of many senders into the messages of a topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from microservo.domain.bounded_names import BoundedNames
from microservo.domain.packing import pack_logs, pack_metrics, pack_spans
from microservo.domain.rows import LogRows, MetricRows, Rows, SpanRows
from microservo.domain.telemetry import Batch, Signal
from services.telemetry_collector.series_names import SeriesNames

_TEMPLATES = 200
_ENDPOINTS = 200
_PEERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One message to be."""

    signal: Signal
    batch: Batch


class Packer:
    """Packs by service, and bounds the names that each service may bring up."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._names = SeriesNames()
        self._templates = BoundedNames(_TEMPLATES)
        self._endpoints = BoundedNames(_ENDPOINTS)
        self.peers = BoundedNames(_PEERS)

    def pack(self, rows: Iterable[Rows]) -> Iterator[Packed]:
        """The messages of some rows, of all signals and services."""
        metrics: dict[str, list[MetricRows]] = {}
        logs: dict[str, list[LogRows]] = {}
        spans: dict[str, list[SpanRows]] = {}
        for each in rows:
            if isinstance(each, SpanRows):
                spans.setdefault(each.service, []).append(each)
            elif isinstance(each, LogRows):
                logs.setdefault(each.service, []).append(each)
            else:
                metrics.setdefault(each.service, []).append(each)
        for name, points in metrics.items():
            yield from (Packed(signal="metrics", batch=batch) for batch in self._metrics(name, points))
        for name, lines in logs.items():
            yield from (Packed(signal="logs", batch=batch) for batch in self._logs(name, lines))
        for name, calls in spans.items():
            yield from (Packed(signal="traces", batch=batch) for batch in self._spans(name, calls))

    def _metrics(self, service: str, rows: list[MetricRows]) -> Iterator[Batch]:
        return pack_metrics(self._run_id, rows, admit_name=partial(self._names.admit, service))

    def _logs(self, service: str, rows: list[LogRows]) -> Iterator[Batch]:
        return pack_logs(self._run_id, rows, admit_template=partial(self._templates.admit, service))

    def _spans(self, service: str, rows: list[SpanRows]) -> Iterator[Batch]:
        return pack_spans(
            self._run_id,
            rows,
            admit_endpoint=partial(self._endpoints.admit, service),
            admit_peer=partial(self.peers.admit, service),
        )
