"""What is known of every service that pushes telemetry: shipped again and again, so that silence shows.

Windows tell from it what is missing, and how long they have to wait for a service (`microservo.domain`:
`silence`, `windows`). It is learned from the batches on their way out, under the names that they bear there.
A service that falls silent stays in it until it is declared gone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from microservo.domain.silence import PushedSignal, packed_signals, signals_of
from microservo.domain.telemetry import (
    CLIENT_SPAN,
    CONSUMER_SPAN,
    HTTP,
    INTERNAL_SPAN,
    PRODUCER_SPAN,
    PROTOCOLS,
    SERVER_SPAN,
    Batch,
    Int64,
    Signal,
    column_bytes,
    signal_of,
    times_us,
)
from schemas.records import LogBatch, MetricBatch, ServiceInventory, SpanBatch
from services.telemetry_collector.delays import Delays
from services.telemetry_collector.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_SERVICES = 2000
"""Services that are kept in mind; names are the senders' to choose."""
_METRICS = 200
"""Levels and rates that are kept in mind of a service; others are missing in windows without a point."""
_GAPS = 15
_UNKNOWN_INTERVAL_US = 1_000_000
_MOST_OWED = 60
"""Times that are made up for after a stall; after a longer one, such as a suspended machine, no more."""
_FALL = 0.5
"""How fast a delay may fall, in seconds a second: so windows of a service stay in order."""


@dataclass(slots=True)
class _Pushed:
    """When the records of a signal were made, in microseconds."""

    newest_us: int
    gaps_us: deque[int] = field(default_factory=lambda: deque(maxlen=_GAPS))

    def add(self, time_us: Int64) -> None:
        """Adds records, in order of time."""
        later = time_us[time_us.searchsorted(self.newest_us, side="right") :]
        if len(later):
            gap_us = int(later[0]) - self.newest_us
            if len(later) > 1:
                gap_us = max(gap_us, int((later[1:] - later[:-1]).max()))
            self.gaps_us.append(gap_us)
            self.newest_us = int(later[-1])

    @property
    def interval_us(self) -> int:
        """How long it usually is from one record to the next, at the longest between two arrivals."""
        return sorted(self.gaps_us)[len(self.gaps_us) // 2] if self.gaps_us else _UNKNOWN_INTERVAL_US


class _Names:
    """Different names; they are sorted again only once one is new."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._sorted: tuple[str, ...] | None = ()

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def update(self, names: Iterable[str]) -> None:
        before = len(self._names)
        self._names.update(names)
        if len(self._names) > before:
            self._sorted = None

    @property
    def sorted(self) -> tuple[str, ...]:
        if self._sorted is None:
            self._sorted = tuple(sorted(self._names))
        return self._sorted


_NO_NAMES = _Names()


@dataclass(slots=True)
class _Known:
    """What is known of one service."""

    kind: str = "service"
    endpoints: _Names = field(default_factory=_Names)
    peers: _Names = field(default_factory=_Names)
    queues: _Names = field(default_factory=_Names)
    steps: _Names = field(default_factory=_Names)
    levels: _Names = field(default_factory=_Names)
    rates: _Names = field(default_factory=_Names)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    signals: dict[Signal, _Pushed] = field(default_factory=dict)
    delay_us: int = 0
    told_us: int = 0


def _of_kinds(*kinds: int) -> NDArray[np.bool_]:
    """Of each number of a span's kind, whether it is one of some; shape (256,)."""
    return np.isin(np.arange(256), kinds)


_SERVES = _of_kinds(SERVER_SPAN)
_CALLS = _of_kinds(CLIENT_SPAN, PRODUCER_SPAN)
_CONSUMES = _of_kinds(CONSUMER_SPAN)
_IS_INNER = _of_kinds(INTERNAL_SPAN, 0)


class Inventories:
    """The inventories of all services.

    Args:
        run_id: the run.
        delays: how late their telemetry comes.
        from_us: the first instant that they are told at, microseconds UTC.
        interval_us: from one to the next.

    Attributes:
        due_us: the next instant that they are told at. Until they are, nobody may promise more than that:
            a window without them would look as if nothing had been known of its service.
    """

    def __init__(self, run_id: str, delays: Delays, *, from_us: int, interval_us: int) -> None:
        self._run_id = run_id
        self._delays = delays
        self.due_us = from_us
        self._interval_us = interval_us
        self._known: dict[str, _Known] = {}
        self._metered: dict[str, _Names] = {}
        self._is_full = False

    def add_metered(self, service: str, names: Iterable[str]) -> None:
        """Adds names of series that others measure of a service."""
        self._metered.setdefault(service, _Names()).update(names)

    def observe(self, batch: Batch, now_us: int) -> None:
        """Learns from a batch, whose rows are in order of time, as it is shipped."""
        time_us = times_us(batch)
        if isinstance(batch, MetricBatch) and (batch.age_us or batch.service in self._metered):
            time_us = time_us[self._is_pushed(batch)]
        known = self._of(batch.service) if len(time_us) else self._known.get(batch.service)
        if known is not None and isinstance(batch, MetricBatch):
            _add_metrics(known, batch)
        if known is None or not len(time_us):
            return
        known.kind = batch.source_kind
        signal = signal_of(batch)
        if signal not in known.signals:
            known.signals[signal] = _Pushed(int(time_us[0]))
        known.signals[signal].add(time_us)
        self._delays.observe(batch.service, signal, time_us, now_us)
        if isinstance(batch, SpanBatch):
            _add_spans(known, batch)
        elif isinstance(batch, LogBatch):
            known.vocabulary.add(batch.templates, now_us)

    def _is_pushed(self, batch: MetricBatch) -> NDArray[np.bool_]:
        """Which points came from the service itself, and now."""
        metered = self._metered.get(batch.service, _NO_NAMES)
        names = np.array([name not in metered for name in batch.names], np.bool_)
        is_pushed: NDArray[np.bool_] = names[np.frombuffer(batch.name, "<u2")]
        if batch.age_us:
            is_pushed &= np.frombuffer(batch.age_us, "<i8") == 0
        return is_pushed

    def due(self, now_us: int) -> Iterator[ServiceInventory]:
        """What is known of each service, for each instant that is due; a stall leaves none of them out."""
        self.due_us = max(self.due_us, now_us - _MOST_OWED * self._interval_us)
        while self.due_us <= now_us:
            yield from self._records(self.due_us)
            self.due_us += self._interval_us

    def _records(self, now_us: int) -> Iterator[ServiceInventory]:
        for service, known in self._known.items():
            signals = {
                name: PushedSignal(pushed.interval_us, pushed.newest_us)
                for name, pushed in known.signals.items()
            }
            least_us = known.delay_us - round(_FALL * (now_us - known.told_us))
            known.delay_us = max(self._delays.delay_us(service, now_us), least_us)
            known.told_us = now_us
            yield ServiceInventory(
                run_id=self._run_id,
                service=service,
                service_kind=known.kind,
                endpoints=known.endpoints.sorted,
                peers=known.peers.sorted,
                queues=known.queues.sorted,
                steps=known.steps.sorted,
                templates=known.vocabulary.named(now_us),
                logs_since_us=known.vocabulary.since_us,
                levels=known.levels.sorted,
                rates=known.rates.sorted,
                metered=self._metered.get(service, _NO_NAMES).sorted,
                delay_us=known.delay_us,
                time_us=now_us,
                **packed_signals(signals),
            )

    def restore(self, inventories: Iterable[ServiceInventory]) -> None:
        """Takes up what an earlier process knew."""
        for each in inventories:
            known = self._of(each.service)
            if known is None:
                continue
            known.kind = each.service_kind
            known.endpoints.update(each.endpoints)
            known.peers.update(each.peers)
            known.queues.update(each.queues)
            known.steps.update(each.steps)
            known.levels.update(each.levels)
            known.rates.update(each.rates)
            known.vocabulary.restore(each.templates, each.logs_since_us)
            for name, pushed in signals_of(each):
                gaps_us = deque([pushed.interval_us], maxlen=_GAPS)
                known.signals[cast("Signal", name)] = _Pushed(pushed.newest_us, gaps_us)
            self.add_metered(each.service, each.metered)
            known.delay_us, known.told_us = each.delay_us, each.time_us
            self._delays.restore(each.service, each.delay_us)

    def forget(self, gone_us: Mapping[str, int]) -> None:
        """Drops services that were declared gone at an instant, unless they have sent since."""
        for service in gone_us.keys() & self._known.keys():
            newest_us = max(pushed.newest_us for pushed in self._known[service].signals.values())
            if newest_us <= gone_us[service]:
                del self._known[service]
                self._delays.forget(service)

    def _of(self, service: str) -> _Known | None:
        known = self._known.get(service)
        if known is None and len(self._known) < _SERVICES:
            known = self._known[service] = _Known()
        elif known is None and not self._is_full:
            self._is_full = True
            logger.warning("more than %d services send; the silence of others does not show", _SERVICES)
        return known


def _add_metrics(known: _Known, batch: MetricBatch) -> None:
    new = {name for name in batch.names if name not in known.levels and name not in known.rates}
    if not new:
        return
    interval_us = np.frombuffer(column_bytes(batch, "interval_us", 8), "<i8")
    for kind, rows in ((known.rates, interval_us > 0), (known.levels, interval_us == 0)):
        kind.update(sorted(new.intersection(_names(batch.names, batch.name, rows)))[: _METRICS - len(kind)])


def _add_spans(known: _Known, batch: SpanBatch) -> None:
    kind = np.frombuffer(batch.kind, "u1")
    protocol = np.frombuffer(batch.protocol, "u1")
    for found, names, column, is_meant in (
        (known.endpoints, batch.endpoints, batch.endpoint, _SERVES),
        (known.peers, batch.peers, batch.peer, _CALLS),
        (known.queues, batch.peers, batch.peer, _CONSUMES),
        (known.steps, batch.endpoints, batch.endpoint, _IS_INNER),
    ):
        rows = is_meant[kind]
        if not np.logical_or.reduce(rows):
            continue
        found.update(_names(names, column, rows))
        # What windows call all of a protocol that is not the usual one.
        others = set(protocol[rows].tolist()) if len(protocol) else ()
        found.update(f"*{PROTOCOLS[each]}" for each in sorted(others) if HTTP < each < len(PROTOCOLS))


def _names(names: tuple[str, ...], column: bytes, wanted: NDArray[np.bool_]) -> Iterator[str]:
    """The names that occur in some rows, but for the empty one."""
    counts = np.bincount(np.frombuffer(column, "<u2")[wanted], minlength=len(names))
    return (name for name, count in zip(names, counts.tolist(), strict=True) if name and count)
