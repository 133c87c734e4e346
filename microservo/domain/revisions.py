"""Open windows into revisions: what each of their cuts publishes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from microservo.domain.blocks import Block
from microservo.domain.closed_window import ClosedWindow
from microservo.domain.dictionary import Dictionary
from microservo.domain.features import FeatureMaker, Features, same_features
from microservo.domain.identity import Kind, kind_of
from microservo.domain.joined_topics import SOURCE_OF
from microservo.domain.labels import Span
from microservo.domain.ledger import Counts, Ledger
from microservo.domain.open_run import OpenRun, OpenWindow
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
        for window, (counts, as_it_came, features) in zip(windows, rendered, strict=True):
            cut = window.cut(0)
            inventories = window.inventories_at(cut)
            window.distinct_on_time = counts
            window.features = with_silence(features, as_it_came, inventories, self._policy.size_us)
            window.service_kind = _kind(window.on_time, inventories)
            window.truth, _ = self._judged(run, window, cut)
            window.is_published = bool(inventories) or any(counts.values())
            if window.is_published:
                yield self._closed(run, window, revision=0, features_changed=True)

    def revise(self, run: OpenRun, window: OpenWindow, cut: Cut) -> ClosedWindow | None:
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
        before, kind, was_published = window.features, window.service_kind, window.is_published
        accepted, inventories = window.distinct_on_time, window.inventories_at(cut)
        if any(window.late.values()) or len(inventories) > len(window.inventories_at(window.cut(0))):
            everything = {signal: window.on_time[signal] + window.late[signal] for signal in SIGNALS}
            ((accepted, as_it_came, features),) = self._render([everything], window.start_us)
            window.features = with_silence(features, as_it_came, inventories, self._policy.size_us)
            window.service_kind = _kind(everything, inventories)
        self._settle(run, window, accepted)
        window.is_published = bool(inventories) or any(accepted.values())
        window.drop_rows()
        is_same = was_published and window.service_kind == kind and same_features(before, window.features)
        return window.is_published and not is_same

    def _settle(self, run: OpenRun, window: OpenWindow, accepted: dict[Signal, int]) -> None:
        """Enters where each record of a final window went."""
        for signal in SIGNALS:
            received, on_time = window.received[signal], window.distinct_on_time[signal]
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
            service_kind=window.service_kind,
            features=window.features,
            truth=window.truth,
            features_changed=features_changed,
            delay_us=window.delay_us,
        )


def _kind(blocks: Mapping[Signal, Sequence[Block]], inventories: Sequence[ServiceInventory]) -> Kind:
    """What a service is, by what came for a window and what was known of it then."""
    said = {block.kind for each in blocks.values() for block in each}
    return kind_of(said.union(inventory.service_kind for inventory in inventories))
