"""Rows of many senders into the messages of a topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from microservo.domain.bounded_names import BoundedNames
from microservo.domain.packing import pack_logs, pack_metrics, pack_spans
from microservo.domain.rows import LogRows, MetricRows, Rows, Sent, SpanRows
from microservo.domain.telemetry import Batch, Signal
from services.telemetry_collector.last_points import LastPoints
from services.telemetry_collector.rates import Rates
from services.telemetry_collector.series_names import SeriesNames
from services.telemetry_collector.span_names import SpanNames

_TEMPLATES = 200
_PEERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One message to be."""

    signal: Signal
    batch: Batch


class Packer:
    """Packs by service, and bounds the names that each service may bring up.

    Args:
        watched_from_us: since when telemetry comes in.
        window_us: length of a window; in each one, a series that comes less often has its last value.
    """

    def __init__(self, run_id: str, *, watched_from_us: int, window_us: int) -> None:
        self._run_id = run_id
        self._rates = Rates(watched_from_us)
        self._last_points = LastPoints(window_us)
        self._names = SeriesNames()
        self._templates = BoundedNames(_TEMPLATES)
        self._span_names = SpanNames()
        self.peers = BoundedNames(_PEERS)

    def pack(self, rows: Iterable[Rows], now_us: int) -> Iterator[Packed]:
        """The messages of some rows, of all signals and services, and of what has to be repeated by now."""
        metrics: dict[str, list[MetricRows]] = {}
        logs: dict[str, list[LogRows]] = {}
        spans: dict[str, list[SpanRows]] = {}
        for each in rows:
            if isinstance(each, SpanRows):
                spans.setdefault(each.service, []).append(each)
            elif isinstance(each, LogRows):
                logs.setdefault(each.service, []).append(each)
            else:
                metrics.setdefault(each.service, []).extend(self._named(each))
        for repeated in self._last_points.due(now_us):
            metrics.setdefault(repeated.service, []).append(repeated)
        for points in metrics.values():
            if points:
                yield from self._packed("metrics", pack_metrics(self._run_id, points))
        for name, lines in logs.items():
            admit = partial(self._templates.admit, name)
            yield from self._packed("logs", pack_logs(self._run_id, lines, admit_template=admit))
        for name, calls in spans.items():
            named = [self._span_names.admitted(each) for each in calls]
            admit = partial(self.peers.admit, name)
            yield from self._packed("traces", pack_spans(self._run_id, named, admit_peer=admit))

    def _named(self, rows: MetricRows | Sent) -> Iterator[MetricRows]:
        """What goes on of points, under the names that are admitted."""
        found = [rows] if isinstance(rows, MetricRows) else self._rates.of(rows)
        for each in found:
            admitted = self._names.admitted(each)
            self._last_points.add(admitted)
            yield admitted

    def _packed(self, signal: Signal, batches: Iterable[Batch]) -> Iterator[Packed]:
        return (Packed(signal=signal, batch=batch) for batch in batches)
