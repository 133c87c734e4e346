"""Labelled windows: telemetry joined with faults by event time. Pure, and a function of the log alone.

A window [s, e) of a service is rendered twice at most, when every writer of its run has passed two cuts.
After that only what is measured of faults may change its labels, and what managers tell of their acts the
actions that it carries. Until that is settled, the windows that a fault or an act touches are kept, and
judged again at the cuts that follow::

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
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from microservo.domain.blocks import block_of, split
from microservo.domain.closed_window import ClosedWindow
from microservo.domain.dictionary import Dictionary
from microservo.domain.joined_topics import SOURCE_OF, WAITED_FOR
from microservo.domain.ledger import Ledger
from microservo.domain.open_run import OpenRun, Rows
from microservo.domain.revisions import Revisions
from microservo.domain.telemetry import Batch, check, record_count, signal_of, times_us
from microservo.domain.watermarks import (
    NOTHING_PASSED,
    UNKNOWN,
    Passed,
    UndeclaredWriter,
    Watermarks,
)
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import (
    FaultEffect,
    FaultVerdict,
    RunWriter,
    ServiceAction,
    ServiceFault,
    ServiceInventory,
)

NOTHING_US = -1
"""End of the newest window that a message without records touches."""


class Windower:
    """Joins the records of one partition number into windows.

    Runs are opened by `open_run`, or by the first message stamped for one; then without declared writers.

    Args:
        policy: how windows are cut.
    """

    def __init__(self, policy: WindowPolicy) -> None:
        self._policy = policy
        self._dictionary = Dictionary()
        self._runs: dict[str, OpenRun] = {}
        self.ledger = Ledger()
        self._revisions = Revisions(policy, self._dictionary, self.ledger)

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

    def behind(self, run_id: str, source: str, by_us: int) -> list[str]:
        """Writers of a source of a run whose promises lie so far behind those of all writers of others."""
        run = self._runs.get(run_id)
        return [] if run is None else run.watermarks.behind(source, by_us)

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

    def action(self, action: ServiceAction, stamp: Stamp) -> Passed:
        """Adds one version of an act of placement.

        Returns:
            The windows that it is late for.

        Raises:
            InvalidMessage: as `fault`.
        """
        run = self._run(stamp)
        late = run.watermarks.observe(catalogue.SERVICE_ACTIONS, stamp)
        if action.run_id == stamp.run:
            run.actions.add(action, late)
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
            source = SOURCE_OF[signal_of(batch)]
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
            counts = {source: window.received[signal] for signal, source in SOURCE_OF.items()}
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
                self._revisions.count_dropped(run, window, dropped)
            for together in run.past_first_cut():
                yield from self._revisions.first(run, together)
            for cut, together in run.past_final_cut():
                yield from self._revisions.revise(run, together, cut)

    def ends_us(self, run_id: str, service: str, fault_id: str) -> int:
        """Until when a fault may have a label at a service, by what is known now.

        FOREVER while it is open, UNKNOWN where it is not known, or not any more.
        """
        run = self._runs.get(run_id)
        return UNKNOWN if run is None else run.faults.ends_us(service, fault_id)

    def action_ends_us(self, run_id: str, service: str, decision_id: str) -> int:
        """Until when windows may need what was told of an act of placement; likewise."""
        run = self._runs.get(run_id)
        return UNKNOWN if run is None else run.actions.ends_us(service, decision_id)

    def forget(self) -> None:
        """Frees what no open window can need any more. Cheap; call it now and then."""
        for run in self._runs.values():
            if run.final_us >= 0:
                run.faults.forget(run.final_us - self._policy.size_us)
                run.actions.forget(run.final_us - self._policy.size_us)

    def _run(self, stamp: Stamp) -> OpenRun:
        run = self._runs.get(stamp.run)
        if run is None:
            self.open_run(stamp.run)
            run = self._runs[stamp.run]
        return run

    def _accept(self, batch: Batch, stamp: Stamp) -> tuple[int, Passed]:
        signal = signal_of(batch)
        run, late = self._observed(SOURCE_OF[signal], batch.run_id, stamp)
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
        counts = self.ledger.counts(run.run_id, SOURCE_OF[rows.signal], service, start_us)
        counts.read += rows.size
        is_over = end_us <= rows.late.final_us and run.is_over(end_us, service, rows.late)
        if is_over or not run.window(end_us, service, start_us).add(rows):
            counts.dropped += rows.size
