"""Open windows into revisions: what each of their cuts publishes of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from microservo.domain.blocks import Block
from microservo.domain.closed_window import ClosedWindow
from microservo.domain.dictionary import Dictionary
from microservo.domain.features import FeatureMaker, Features, same_features
from microservo.domain.identity import Kind, kind_of
from microservo.domain.joined_topics import SOURCE_OF
from microservo.domain.ledger import Counts, Ledger
from microservo.domain.open_run import OpenRun, OpenWindow
from microservo.domain.rendered import NOTHING_CAME, Rendered
from microservo.domain.silence import with_silence
from microservo.domain.telemetry import SIGNALS, Signal
from microservo.domain.truth import WindowTruth
from microservo.domain.watermarks import Cut
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.window_rows import WindowRows
from schemas import catalogue
from schemas.records import ServiceInventory

MOST_CUTS = 20
"""Revision at which a window is final, whatever is still undecided about its labels."""


class Revisions:
    """Renders the windows of one partition number.

    Args:
        policy: how windows are cut.
        dictionary: the one that their rows are numbered with.
        ledger: where it enters what became of their records.
    """

    def __init__(self, policy: WindowPolicy, dictionary: Dictionary, ledger: Ledger) -> None:
        self._policy = policy
        self._dictionary = dictionary
        self._maker = FeatureMaker(dictionary, policy.size_us)
        self._ledger = ledger

    def first(self, run: OpenRun, windows: Sequence[OpenWindow]) -> Iterator[ClosedWindow]:
        """Revisions 0 of windows that end together; none for a window of which everything is late."""
        rendered = self._render([window.on_time for window in windows], windows[0].start_us)
        for window, came in zip(windows, rendered, strict=True):
            cut = window.cut(0)
            inventories = window.inventories_at(cut)
            window.rendered = came
            window.features = self._features(came, inventories)
            window.service_kind = _kind([window.on_time], inventories)
            window.truth, _ = self._judged(run, window, cut)
            window.actions, _ = run.actions.of_window(window.service, window.span, cut)
            window.is_published = bool(inventories) or any(came.distinct.values())
            if window.is_published:
                yield self._closed(run, window, revision=0, features_changed=True)

    def revise(self, run: OpenRun, windows: Sequence[OpenWindow], cut: Cut) -> Iterator[ClosedWindow]:
        """The revisions that a final cut makes of windows that end together.

        One that says nothing that those before did not is left out.
        """
        late = self._late(windows) if cut.revision == 1 else itertools.repeat(NOTHING_CAME, len(windows))
        for window, came in zip(windows, late, strict=True):
            is_new = cut.revision == 1 and self._accept_late(run, window, cut, came)
            before = window.truth, window.actions
            window.truth, is_settled = self._judged(run, window, cut)
            window.actions, is_told = run.actions.of_window(window.service, window.span, cut)
            if (is_settled and is_told) or not window.is_published or cut.revision == MOST_CUTS:
                run.finish(window)
            else:
                run.keep(window, cut)
            if window.is_published and (is_new or (window.truth, window.actions) != before):
                yield self._closed(run, window, revision=cut.revision, features_changed=is_new)

    def _late(self, windows: Sequence[OpenWindow]) -> Iterator[Rendered]:
        """What all rows come to, of the signals that came late for a window."""
        return self._render([window.late_in_all() for window in windows], windows[0].start_us)

    def _accept_late(self, run: OpenRun, window: OpenWindow, cut: Cut, came: Rendered) -> bool:
        """Takes in what came late; whether the features are others than in revision 0, or the first ones."""
        before, kind, was_published = window.features, window.service_kind, window.is_published
        inventories, signals = window.inventories_at(cut), window.late_signals()
        accepted = window.rendered.updated(came, signals)
        if signals or len(inventories) > len(window.inventories_at(window.cut(0))):
            window.features = self._features(accepted, inventories)
            window.service_kind = _kind([window.on_time, window.late], inventories)
        self._settle(run, window, accepted.distinct)
        window.is_published = bool(inventories) or any(accepted.distinct.values())
        window.drop_rows()
        is_same = was_published and window.service_kind == kind and same_features(before, window.features)
        return window.is_published and not is_same

    def _settle(self, run: OpenRun, window: OpenWindow, accepted: dict[Signal, int]) -> None:
        """Enters where each record of a final window went."""
        for signal in SIGNALS:
            received, on_time = window.received[signal], window.rendered.distinct[signal]
            if received:
                counts = self._counts(run, window, signal)
                counts.in_windows += on_time
                counts.late += accepted[signal] - on_time
                counts.duplicate += received - accepted[signal]

    def count_dropped(self, run: OpenRun, window: OpenWindow, dropped: Mapping[Signal, int]) -> None:
        """Enters records that turned out to be too late for a window."""
        for signal in SIGNALS:
            if dropped[signal]:
                self._counts(run, window, signal).dropped += dropped[signal]

    def _counts(self, run: OpenRun, window: OpenWindow, signal: Signal) -> Counts:
        return self._ledger.counts(run.run_id, SOURCE_OF[signal], window.service, window.start_us)

    def _render(self, windows: Sequence[Mapping[Signal, list[Block]]], start_us: int) -> Iterator[Rendered]:
        rows = WindowRows.of(windows, self._dictionary)
        counts = rows.counts()
        return map(Rendered, counts, rows.as_it_came(counts), self._maker.features(rows, start_us))

    def _features(self, came: Rendered, inventories: Sequence[ServiceInventory]) -> Features:
        return with_silence(came.features, came.as_it_came, inventories, self._policy.size_us)

    def _judged(self, run: OpenRun, window: OpenWindow, cut: Cut) -> tuple[WindowTruth, bool]:
        """The truth about a window as known at a cut, and whether nothing will change it any more."""
        is_observed = run.watermarks.is_written(
            catalogue.FAULT_EFFECTS, cut.due_us + self._policy.final_cut_us
        )
        return run.faults.truth(window.service, window.span, cut, is_observed=is_observed)

    def _closed(
        self, run: OpenRun, window: OpenWindow, *, revision: int, features_changed: bool
    ) -> ClosedWindow:
        return ClosedWindow(
            run_id=run.run_id,
            service=window.service,
            start_us=window.start_us,
            end_us=window.end_us,
            revision=revision,
            service_kind=window.service_kind,
            features=window.features,
            truth=window.truth,
            features_changed=features_changed,
            delay_us=window.delay_us,
            actions=window.actions,
        )


def _kind(came: Sequence[Mapping[Signal, Sequence[Block]]], inventories: Sequence[ServiceInventory]) -> Kind:
    """What a service is, by what came for a window and what was known of it then."""
    said = {block.kind for blocks in came for each in blocks.values() for block in each}
    return kind_of(said.union(inventory.service_kind for inventory in inventories))
