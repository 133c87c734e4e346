"""Labelled windows: telemetry joined with faults by event time. Pure, and a function of the log alone.

A window [s, e) of a service is rendered twice at most, at two cuts of the watermark W::

    s ------------- e --- first cut --------------- final cut
                          W >= e + first_cut_us     W >= e + final_cut_us
                          revision 0: on time       revision 1: if late records changed anything

Whether a record is on time is judged per (record, window) from the promise it travels with (`Stamp`), so any
interleaving of the partitions, any batch size and any restart give the same bytes. Design and proof:
docs/decisions/0004-deterministic-windows.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from microservo.domain.blocks import Block, block_of, keep, split
from microservo.domain.dictionary import Dictionary
from microservo.domain.features import FeatureMaker, Features, same_features
from microservo.domain.labels import FaultBook
from microservo.domain.ledger import Ledger
from microservo.domain.telemetry import SIGNALS, Batch, Signal, check, signal_of, times_us
from microservo.domain.watermarks import Watermarks
from microservo.domain.window_rows import WindowRows
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.envelope import Stamp
from schemas.records import FeatureWindow, Label, LabelledWindow, ServiceFault

SOURCES: tuple[str, ...] = (
    catalogue.TELEMETRY_METRICS,
    catalogue.TELEMETRY_LOGS,
    catalogue.TELEMETRY_TRACES,
    catalogue.SERVICE_FAULTS,
)
"""Topics that are joined, by logical name."""

_SOURCE_OF: dict[Signal, str] = {
    "metrics": catalogue.TELEMETRY_METRICS,
    "logs": catalogue.TELEMETRY_LOGS,
    "traces": catalogue.TELEMETRY_TRACES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy:
    """How windows are cut; all in microseconds of event time.

    Attributes:
        size_us: length of a window.
        first_cut_us: how long after its end a window waits for what is under way.
        final_cut_us: how long late records are still accepted, into revision 1.
        future_us: how far a record may lie ahead of the promise it travels with.
    """

    size_us: int = 5_000_000
    first_cut_us: int = 2_000_000
    final_cut_us: int = 30_000_000
    future_us: int = 5_000_000

    def __post_init__(self) -> None:
        if self.size_us <= 0 or not 0 <= self.first_cut_us <= self.final_cut_us or self.future_us < 0:
            msg = f"{self} makes no sense; expected size > 0 and 0 <= first cut <= final cut, future >= 0"
            raise ValueError(msg)

    def start_of(self, time_us: int) -> int:
        """Start of the window that holds an instant."""
        return time_us - time_us % self.size_us


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedWindow:
    """One revision of one window."""

    run_id: str
    service: str
    start_us: int
    end_us: int
    revision: int
    features: Features
    labels: tuple[Label, ...]
    features_changed: bool
    """Whether the features differ from the revision before; True for revision 0."""

    def feature_window(self) -> FeatureWindow:
        """What algorithms may see."""
        return FeatureWindow(
            run_id=self.run_id,
            service=self.service,
            start_us=self.start_us,
            end_us=self.end_us,
            revision=self.revision,
            names=tuple(self.features),
            values=tuple(self.features.values()),
        )

    def labelled_window(self) -> LabelledWindow:
        """The same with the truth."""
        return LabelledWindow(
            run_id=self.run_id,
            service=self.service,
            start_us=self.start_us,
            end_us=self.end_us,
            revision=self.revision,
            names=tuple(self.features),
            values=tuple(self.features.values()),
            labels=self.labels,
        )


class _Due(NamedTuple):
    """When a revision of a window is to be rendered; sorts in that order."""

    at_us: int
    run_id: str
    service: str
    start_us: int
    revision: int


def _blocks() -> dict[Signal, list[Block]]:
    return {signal: [] for signal in SIGNALS}


def _zeros() -> dict[Signal, int]:
    return dict.fromkeys(SIGNALS, 0)


@dataclass(slots=True)
class _OpenWindow:
    on_time: dict[Signal, list[Block]] = field(default_factory=_blocks)
    late: dict[Signal, list[Block]] = field(default_factory=_blocks)
    received: dict[Signal, int] = field(default_factory=_zeros)
    rendered: bool = False
    """Whether what follows is that of revision 0, at least."""
    distinct_on_time: dict[Signal, int] = field(default_factory=_zeros)
    features: Features = field(default_factory=dict)
    labels: tuple[Label, ...] = ()


class Windower:
    """Joins the records of one partition number into windows.

    Args:
        policy: how windows are cut.
        resume_from_us: watermark up to which all was final before a restart; not rendered again.
    """

    def __init__(self, policy: WindowPolicy, *, resume_from_us: int = -1) -> None:
        self._policy = policy
        self._resume_from_us = resume_from_us
        self._watermarks = Watermarks(SOURCES)
        self._dictionary = Dictionary()
        self._maker = FeatureMaker(self._dictionary)
        self._faults = FaultBook()
        self._windows: dict[tuple[str, str, int], _OpenWindow] = {}
        self._due: list[_Due] = []
        self.ledger = Ledger()

    @property
    def watermark_us(self) -> int:
        """How far event time has come; -1 until every source was heard."""
        return self._watermarks.low()

    def heartbeat(self, source: str, stamp: Stamp) -> None:
        """Takes in a promise that came without a record.

        Raises:
            InvalidMessage: the writer takes back an earlier promise.
        """
        self._watermarks.hear(source, stamp)

    def fault(self, fault: ServiceFault, stamp: Stamp) -> None:
        """Takes in one version of a fault.

        Raises:
            InvalidMessage: the writer takes back an earlier promise.
        """
        self._watermarks.hear(catalogue.SERVICE_FAULTS, stamp)
        self._faults.add(fault, stamp.watermark_us)

    def telemetry(self, batch: Batch, stamp: Stamp) -> int:
        """Takes in a batch of records and returns the end of the newest window it touches.

        Raises:
            InvalidMessage: an index points nowhere, a record lies before 1970 or too far in the
                future, or the writer takes back an earlier promise. Nothing of the batch is used.
        """
        signal = signal_of(batch)
        self._watermarks.hear(_SOURCE_OF[signal], stamp)
        count = check(batch)
        if not count:
            return -1
        times = times_us(batch)
        first, last = int(np.minimum.reduce(times)), int(np.maximum.reduce(times))
        if first < 0 or last > stamp.watermark_us + self._policy.future_us:
            self._reject(batch, count, stamp)
        start, end = self._policy.start_of(first), self._policy.start_of(last)
        block = block_of(batch, self._dictionary)
        if start == end:
            self._sort_in(batch, start, count, block, stamp)
        else:
            for one, size, part in split(signal, block, times, self._policy.size_us):
                self._sort_in(batch, one, size, part, stamp)
        return end + self._policy.size_us

    def close(self) -> Iterator[ClosedWindow]:
        """Renders the windows whose cut the watermark has passed, in order of their cuts."""
        watermark_us = self.watermark_us
        while self._due and self._due[0].at_us <= watermark_us:
            due = heapq.heappop(self._due)
            closed = self._first(due) if due.revision == 0 else self._final(due)
            if closed is not None:
                yield closed

    def ends_us(self, fault: ServiceFault) -> int:
        """When a fault ends for good, by what is known now; FOREVER while it is open."""
        return self._faults.ends_us(fault)

    def forget(self) -> None:
        """Frees what no open window can need any more. Cheap; call it now and then."""
        if self.watermark_us >= 0:
            self._faults.forget(self.watermark_us - self._policy.final_cut_us - self._policy.size_us)

    def _reject(self, batch: Batch, count: int, stamp: Stamp) -> None:
        source = _SOURCE_OF[signal_of(batch)]
        counts = self.ledger.counts(batch.run_id, source, batch.service, stamp.watermark_us)
        counts.read += count
        counts.rejected += count
        limit = stamp.watermark_us + self._policy.future_us
        msg = (
            f"a record of {batch.service} lies before 1970 or beyond {limit} (its stamp plus what is allowed)"
        )
        raise InvalidMessage(msg)

    def _sort_in(self, batch: Batch, start_us: int, count: int, block: Block, stamp: Stamp) -> None:
        end_us = start_us + self._policy.size_us
        final_us = end_us + self._policy.final_cut_us
        if final_us <= self._resume_from_us:
            return
        signal = signal_of(batch)
        counts = self.ledger.counts(batch.run_id, _SOURCE_OF[signal], batch.service, start_us)
        counts.read += count
        if final_us <= stamp.watermark_us:
            counts.dropped += count
            return
        window = self._window(batch.run_id, batch.service, start_us)
        window.received[signal] += count
        on_time = stamp.watermark_us < end_us + self._policy.first_cut_us
        keep((window.on_time if on_time else window.late)[signal], block)

    def _window(self, run_id: str, service: str, start_us: int) -> _OpenWindow:
        key = (run_id, service, start_us)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _OpenWindow()
            end_us = start_us + self._policy.size_us
            heapq.heappush(self._due, _Due(end_us + self._policy.first_cut_us, *key, 0))
            heapq.heappush(self._due, _Due(end_us + self._policy.final_cut_us, *key, 1))
        return window

    def _first(self, due: _Due) -> ClosedWindow | None:
        """Revision 0; none for a window of which everything is late."""
        window = self._windows[due.run_id, due.service, due.start_us]
        if not window.rendered:
            self._render_all(due)
        window.labels = self._labels(due)
        if not any(window.distinct_on_time.values()):
            return None
        return self._closed(due, window, features_changed=True)

    def _final(self, due: _Due) -> ClosedWindow | None:
        """Revision 1, if it says anything that revision 0 did not."""
        window = self._windows.pop((due.run_id, due.service, due.start_us))
        before, labels_before = window.features, window.labels
        accepted = window.distinct_on_time
        if any(window.late.values()):
            everything = {signal: window.on_time[signal] + window.late[signal] for signal in SIGNALS}
            ((accepted, window.features),) = self._render([everything], due.start_us)
        self._settle(due, window, accepted)
        window.labels = self._labels(due)
        features_changed = not same_features(before, window.features)
        first_was_empty = not any(window.distinct_on_time.values())
        if not features_changed and window.labels == labels_before and not first_was_empty:
            return None
        return self._closed(due, window, features_changed=features_changed or first_was_empty)

    def _settle(self, due: _Due, window: _OpenWindow, accepted: dict[Signal, int]) -> None:
        """Enters where each record of a final window went."""
        for signal, source in _SOURCE_OF.items():
            received, on_time = window.received[signal], window.distinct_on_time[signal]
            if received:
                counts = self.ledger.counts(due.run_id, source, due.service, due.start_us)
                counts.in_windows += on_time
                counts.late += accepted[signal] - on_time
                counts.duplicate += received - accepted[signal]

    def _render_all(self, first: _Due) -> None:
        """Renders revision 0 of every window that is due at the same instant."""
        same = (first.at_us, first.start_us, 0)
        peers = [first, *(due for due in self._due if (due.at_us, due.start_us, due.revision) == same)]
        windows = [self._windows[due.run_id, due.service, due.start_us] for due in peers]
        rendered = self._render([window.on_time for window in windows], first.start_us)
        for window, (counts, features) in zip(windows, rendered, strict=True):
            window.distinct_on_time, window.features, window.rendered = counts, features, True

    def _render(
        self, windows: Sequence[dict[Signal, list[Block]]], start_us: int
    ) -> Iterator[tuple[dict[Signal, int], Features]]:
        """How many distinct rows each window has of each signal, and its features."""
        rows = WindowRows.of(windows, self._dictionary)
        return zip(rows.counts(), self._maker.features(rows, start_us), strict=True)

    def _labels(self, due: _Due) -> tuple[Label, ...]:
        end_us = due.start_us + self._policy.size_us
        return self._faults.labels(due.run_id, due.service, due.start_us, end_us, cut_us=due.at_us)

    def _closed(self, due: _Due, window: _OpenWindow, *, features_changed: bool) -> ClosedWindow:
        return ClosedWindow(
            run_id=due.run_id,
            service=due.service,
            start_us=due.start_us,
            end_us=due.start_us + self._policy.size_us,
            revision=due.revision,
            features=window.features,
            labels=window.labels,
            features_changed=features_changed,
        )
