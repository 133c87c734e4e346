"""Labelled windows: telemetry joined with faults by event time. Pure, and a function of the log alone.

A window [s, e) of a service is rendered twice at most, when every writer of its run has passed two cuts.
After that only what is measured of faults may change its labels. Until that is settled, the windows that a
fault touches are kept, and judged again at the cuts that follow::

    s ------- e ---- delay --- first cut ------------- final cut --------------- k-th cut ---------------
              |      |         all promised that       all promised that         and k - 1 final cuts more
              |      |         revision 0: on time     revision 1: if late       revision k: if labels
              |      |                                 records or labels         changed
              |      |                                 changed anything
              |      due: how much later the service's telemetry usually comes
              the inventories within [s, e) are all there, which say so

Whether a record is on time is judged per (record, window) from the promise it travels with (`Stamp`), the
cuts of its writer and the delay of its service. So any interleaving of the partitions, any batch size, any
restart and any writer that joins or leaves give the same bytes. Each run stands alone: its windows depend on
the messages that are stamped for it and on its record. Design and proof:
docs/decisions/0004-deterministic-windows.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microservo.domain.blocks import Block, block_of, split
from microservo.domain.dictionary import Dictionary
from microservo.domain.features import FeatureMaker, Features, same_features
from microservo.domain.labels import Span
from microservo.domain.ledger import Counts, Ledger
from microservo.domain.open_run import OpenRun, OpenWindow, Rows
from microservo.domain.silence import with_silence
from microservo.domain.telemetry import SIGNALS, Batch, Signal, check, record_count, signal_of, times_us
from microservo.domain.truth import WindowTruth
from microservo.domain.watermarks import (
    NOTHING_PASSED,
    UNKNOWN,
    Cut,
    Passed,
    UndeclaredWriter,
    Watermarks,
)
from microservo.domain.window_rows import WindowRows
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import (
    FaultEffect,
    FaultVerdict,
    FeatureWindow,
    LabelledWindow,
    RunWriter,
    ServiceFault,
    ServiceInventory,
)

SOURCES: tuple[str, ...] = (
    catalogue.TELEMETRY_METRICS,
    catalogue.TELEMETRY_LOGS,
    catalogue.TELEMETRY_TRACES,
    catalogue.SERVICE_FAULTS,
    catalogue.FAULT_EFFECTS,
)
"""Topics that are joined, by logical name."""

WAITED_FOR = tuple(source for source in SOURCES if source != catalogue.FAULT_EFFECTS)
"""Topics that revision 0 waits for: all but what is measured of faults."""

MOST_CUTS = 20
"""Revision at which a window is final, whatever is still undecided about its labels."""

NOTHING_US = -1
"""End of the newest window that a message without records touches."""

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
        first_cut_us: how long after its end a window waits for what is under way; a declared writer has a cut
            of its own.
        final_cut_us: how long late records are still accepted, into revision 1; likewise. Windows that are
            kept for their labels are judged again each time that so much more has passed.
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

    def oldest_us(self, watermark_us: int) -> int:
        """Start of the oldest window that is still open at a watermark; what is older is dropped."""
        return self.start_of(watermark_us - self.final_cut_us - self.size_us) + self.size_us


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedWindow:
    """One revision of one window."""

    run_id: str
    service: str
    start_us: int
    end_us: int
    revision: int
    features: Features
    truth: WindowTruth
    features_changed: bool
    """Whether the features differ from the revision before; True for revision 0."""
    delay_us: int = 0
    """How much longer than others it waited for the telemetry of its service."""

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
            labels=self.truth.labels,
            in_force=self.truth.in_force,
            visible=self.truth.visible,
            role=self.truth.role,
            truth=self.truth.truth,
        )


class Windower:
    """Joins the records of one partition number into windows.

    Runs are opened by `open_run`, or by the first message stamped for one; then without declared writers.

    Args:
        policy: how windows are cut.
    """

    def __init__(self, policy: WindowPolicy) -> None:
        self._policy = policy
        self._dictionary = Dictionary()
        self._maker = FeatureMaker(self._dictionary, policy.size_us)
        self._runs: dict[str, OpenRun] = {}
        self.ledger = Ledger()

    def open_run(self, run_id: str, writers: Iterable[RunWriter] = (), *, final_us: int = UNKNOWN) -> None:
        """Declares who writes in a run; one that is open gets the writers that are new.

        Args:
            run_id: the run.
            writers: those that its record declares.
            final_us: windows that end by then were final before a restart; they are not rendered again.
        """
        run = self._runs.get(run_id)
        if run is None:
            policy = self._policy
            watermarks = Watermarks(
                WAITED_FOR, first_cut_us=policy.first_cut_us, final_cut_us=policy.final_cut_us
            )
            run = self._runs[run_id] = OpenRun(run_id, watermarks, final_us, policy.final_cut_us)
        run.watermarks.declare(writers)

    def seal_run(self, run_id: str) -> None:
        """Declares that no writer joins a run any more, so that no limit holds its windows back."""
        self._runs[run_id].is_sealed = True

    def end_run(self, run_id: str) -> None:
        """Declares that all of a run was read: the windows that are kept for their labels are final."""
        self._runs[run_id].end()

    def close_run(self, run_id: str) -> None:
        """Drops a run that is over, with the windows that never became final."""
        del self._runs[run_id]

    @property
    def open_runs(self) -> Sequence[str]:
        """The runs that are open."""
        return list(self._runs)

    def knows(self, run_id: str, source: str, writer: str) -> bool:
        """Whether a run is open, and a writer one of its."""
        run = self._runs.get(run_id)
        return run is not None and run.watermarks.knows(source, writer)

    def passed(self, run_id: str) -> Passed:
        """Which windows of a run `close` has rendered; it never falls."""
        run = self._runs.get(run_id)
        return NOTHING_PASSED if run is None else run.watermarks.passed

    def final_us(self, run_id: str) -> int:
        """Windows of a run that end by then are final, those before a restart included; UNKNOWN for none."""
        run = self._runs.get(run_id)
        return UNKNOWN if run is None else run.final_us

    def heartbeat(self, source: str, stamp: Stamp) -> None:
        """Processes a promise without a record; that of an undeclared writer is ignored.

        Raises:
            InvalidMessage: the writer has left, or takes back an earlier promise.
        """
        with contextlib.suppress(UndeclaredWriter):
            self._run(stamp).watermarks.observe(source, stamp)

    def fault(self, fault: ServiceFault, stamp: Stamp) -> Passed:
        """Adds one version of a fault.

        One of another run says nothing here: the injector ends what a run that is over has left.

        Returns:
            The windows that it is late for.

        Raises:
            InvalidMessage: the writer is not declared, has left, or takes back an earlier promise.
        """
        run = self._run(stamp)
        late = run.watermarks.observe(catalogue.SERVICE_FAULTS, stamp)
        if fault.run_id == stamp.run:
            run.faults.add_fault(fault, late)
        return late

    def effect(self, effect: FaultEffect | FaultVerdict, stamp: Stamp) -> Passed:
        """Adds one version of what was measured of a fault; what it comes to as a whole is no label's matter.

        Returns:
            The windows that it is late for.

        Raises:
            InvalidMessage: as `fault`.
        """
        run = self._run(stamp)
        late = run.watermarks.observe(catalogue.FAULT_EFFECTS, stamp)
        if isinstance(effect, FaultEffect) and effect.run_id == stamp.run:
            run.faults.add_effect(effect, late)
        return late

    def telemetry(self, batch: Batch, stamp: Stamp) -> tuple[int, Passed]:
        """Adds a batch of records.

        Returns:
            The end of the newest window that it touches, NOTHING_US for none, and the windows it is late for.

        Raises:
            InvalidMessage: an index points nowhere, a record lies before 1970 or too far in the future, the
                batch is of another run than its stamp, or the writer is not declared, has left, or takes back
                an earlier promise. Nothing of the batch is used; its records are counted as rejected.
        """
        try:
            return self._accept(batch, stamp)
        except InvalidMessage:
            source = _SOURCE_OF[signal_of(batch)]
            self.ledger.reject(stamp.run, source, batch.service, stamp.watermark_us, record_count(batch))
            raise

    def inventory(self, inventory: ServiceInventory, stamp: Stamp) -> tuple[int, Passed]:
        """Adds what was known of a service at an instant. It is no record that the ledger counts.

        Returns:
            As `telemetry`.

        Raises:
            InvalidMessage: as `telemetry`.
        """
        run, late = self._observed(catalogue.TELEMETRY_METRICS, inventory.run_id, stamp)
        self._check_times(inventory.service, inventory.time_us, inventory.time_us, stamp)
        start_us = self._policy.start_of(inventory.time_us)
        end_us = start_us + self._policy.size_us
        if end_us > run.resume_us and not run.is_over(end_us, inventory.service, late):
            run.window(end_us, inventory.service, start_us).add_inventory(inventory, late)
        return end_us, late

    def unfinished(self, run_id: str) -> Iterator[tuple[str, int, dict[str, int]]]:
        """Service and start of the windows that are not final, and their records by source.

        Those of one that is kept for its labels were counted: it has none here.
        """
        for window in self._runs[run_id].windows:
            counts = {source: window.received[signal] for signal, source in _SOURCE_OF.items()}
            yield window.service, window.start_us, counts

    def close(self, limit_us: int = FOREVER_US) -> Iterator[ClosedWindow]:
        """Renders the windows whose cut all writers have passed; of each run in order of their cuts.

        Args:
            limit_us: taken for the promise of writers that may be declared without being known here; counts
                for runs that are not sealed.
        """
        for run in self._runs.values():
            before = run.watermarks.passed
            if run.watermarks.advance(FOREVER_US if run.is_sealed else limit_us) is before:
                continue
            for window, dropped in run.past_end():
                self._count_dropped(run, window, dropped)
            for together in run.past_first_cut():
                yield from self._first(run, together)
            for cut, window in run.past_final_cut():
                closed = self._revise(run, window, cut)
                if closed is not None:
                    yield closed

    def ends_us(self, run_id: str, service: str, fault_id: str) -> int:
        """Until when a fault may have a label at a service, by what is known now.

        FOREVER while it is open, UNKNOWN where it is not known, or not any more.
        """
        run = self._runs.get(run_id)
        return UNKNOWN if run is None else run.faults.ends_us(service, fault_id)

    def forget(self) -> None:
        """Frees what no open window can need any more. Cheap; call it now and then."""
        for run in self._runs.values():
            if run.final_us >= 0:
                run.faults.forget(run.final_us - self._policy.size_us)

    def _run(self, stamp: Stamp) -> OpenRun:
        run = self._runs.get(stamp.run)
        if run is None:
            self.open_run(stamp.run)
            run = self._runs[stamp.run]
        return run

    def _accept(self, batch: Batch, stamp: Stamp) -> tuple[int, Passed]:
        signal = signal_of(batch)
        run, late = self._observed(_SOURCE_OF[signal], batch.run_id, stamp)
        count = check(batch)
        if not count:
            return NOTHING_US, late
        times = times_us(batch)
        first, last = int(np.minimum.reduce(times)), int(np.maximum.reduce(times))
        self._check_times(batch.service, first, last, stamp)
        start, end = self._policy.start_of(first), self._policy.start_of(last)
        block = block_of(batch, self._dictionary)
        if start == end:
            self._sort_in(run, batch.service, start, Rows(late, signal, count, block))
        else:
            for one, size, part in split(signal, block, times, self._policy.size_us):
                self._sort_in(run, batch.service, one, Rows(late, signal, size, part))
        return end + self._policy.size_us, late

    def _observed(self, source: str, run_id: str, stamp: Stamp) -> tuple[OpenRun, Passed]:
        """The run of a record, and the windows that the record is late for."""
        run = self._runs.get(stamp.run) or self._run(stamp)
        late = run.watermarks.observe(source, stamp)
        if run_id != stamp.run:
            msg = f"a batch of run {run_id!r} is stamped for run {stamp.run!r}; the two must agree"
            raise InvalidMessage(msg)
        return run, late

    def _check_times(self, service: str, first_us: int, last_us: int, stamp: Stamp) -> None:
        limit = stamp.watermark_us + self._policy.future_us
        if first_us < 0 or last_us > limit:
            msg = f"a record of {service} lies before 1970 or beyond {limit} (its stamp plus what is allowed)"
            raise InvalidMessage(msg)

    def _sort_in(self, run: OpenRun, service: str, start_us: int, rows: Rows) -> None:
        """Puts rows that fall into one window there, or counts them as too late."""
        end_us = start_us + self._policy.size_us
        if end_us <= run.resume_us:
            return
        counts = self.ledger.counts(run.run_id, _SOURCE_OF[rows.signal], service, start_us)
        counts.read += rows.size
        is_over = end_us <= rows.late.final_us and run.is_over(end_us, service, rows.late)
        if is_over or not run.window(end_us, service, start_us).add(rows):
            counts.dropped += rows.size

    def _first(self, run: OpenRun, windows: Sequence[OpenWindow]) -> Iterator[ClosedWindow]:
        """Revisions 0 of windows that end together; none for a window of which everything is late."""
        rendered = self._render([window.on_time for window in windows], windows[0].start_us)
        for window, (counts, as_it_came, features) in zip(windows, rendered, strict=True):
            cut = window.cut(0)
            inventories = window.inventories_at(cut)
            window.distinct_on_time = counts
            window.features = with_silence(features, as_it_came, inventories, self._policy.size_us)
            window.truth, _ = self._judged(run, window, cut)
            window.is_published = bool(inventories) or any(counts.values())
            if window.is_published:
                yield self._closed(run, window, revision=0, features_changed=True)

    def _revise(self, run: OpenRun, window: OpenWindow, cut: Cut) -> ClosedWindow | None:
        """The revision that a final cut makes of a window, if it says anything that those before did not."""
        is_new = cut.revision == 1 and self._accept_late(run, window, cut)
        before = window.truth
        window.truth, is_settled = self._judged(run, window, cut)
        if is_settled or not window.is_published or cut.revision == MOST_CUTS:
            run.finish(window)
        else:
            run.keep(window, cut)
        if not window.is_published or (window.truth == before and not is_new):
            return None
        return self._closed(run, window, revision=cut.revision, features_changed=is_new)

    def _accept_late(self, run: OpenRun, window: OpenWindow, cut: Cut) -> bool:
        """Takes in what came late; whether the features are others than in revision 0, or the first ones."""
        before, was_published = window.features, window.is_published
        accepted, inventories = window.distinct_on_time, window.inventories_at(cut)
        if any(window.late.values()) or len(inventories) > len(window.inventories_at(window.cut(0))):
            everything = {signal: window.on_time[signal] + window.late[signal] for signal in SIGNALS}
            ((accepted, as_it_came, features),) = self._render([everything], window.start_us)
            window.features = with_silence(features, as_it_came, inventories, self._policy.size_us)
        self._settle(run, window, accepted)
        window.is_published = bool(inventories) or any(accepted.values())
        window.drop_rows()
        return window.is_published and not (was_published and same_features(before, window.features))

    def _settle(self, run: OpenRun, window: OpenWindow, accepted: dict[Signal, int]) -> None:
        """Enters where each record of a final window went."""
        for signal in SIGNALS:
            received, on_time = window.received[signal], window.distinct_on_time[signal]
            if received:
                counts = self._counts(run, window, signal)
                counts.in_windows += on_time
                counts.late += accepted[signal] - on_time
                counts.duplicate += received - accepted[signal]

    def _count_dropped(self, run: OpenRun, window: OpenWindow, dropped: Mapping[Signal, int]) -> None:
        for signal in SIGNALS:
            if dropped[signal]:
                self._counts(run, window, signal).dropped += dropped[signal]

    def _counts(self, run: OpenRun, window: OpenWindow, signal: Signal) -> Counts:
        return self.ledger.counts(run.run_id, _SOURCE_OF[signal], window.service, window.start_us)

    def _render(
        self, windows: Sequence[Mapping[Signal, list[Block]]], start_us: int
    ) -> Iterator[tuple[dict[Signal, int], dict[Signal, int], Features]]:
        """Distinct rows of each window by signal, those without repeated points, and its features."""
        rows = WindowRows.of(windows, self._dictionary)
        counts = rows.counts()
        return zip(counts, rows.as_it_came(counts), self._maker.features(rows, start_us), strict=True)

    def _judged(self, run: OpenRun, window: OpenWindow, cut: Cut) -> tuple[WindowTruth, bool]:
        """The truth about a window as known at a cut, and whether nothing will change it any more."""
        is_observed = run.watermarks.is_written(
            catalogue.FAULT_EFFECTS, cut.due_us + self._policy.final_cut_us
        )
        span = Span(window.start_us, window.end_us)
        return run.faults.truth(window.service, span, cut, is_observed=is_observed)

    def _closed(
        self, run: OpenRun, window: OpenWindow, *, revision: int, features_changed: bool
    ) -> ClosedWindow:
        return ClosedWindow(
            run_id=run.run_id,
            service=window.service,
            start_us=window.start_us,
            end_us=window.end_us,
            revision=revision,
            features=window.features,
            truth=window.truth,
            features_changed=features_changed,
            delay_us=window.delay_us,
        )
