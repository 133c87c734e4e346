"""One measure of a service under one fault: tested at each look, dated once it has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microservo.domain.effects.baseline import Baseline, Outcome
from microservo.domain.effects.counts import CountBaseline
from microservo.domain.effects.free_time import Span, newest, without
from microservo.domain.effects.history import History, Samples
from microservo.domain.effects.intervals import Interval, runs, silences, stretches
from microservo.domain.effects.levels import LevelBaseline
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.faults.base import Measure

_BEFORE_US = 60_000_000
"""No request that a fault meets on its way began longer before it."""
LINGERS_US = 3_000_000
"""An after-effect follows the fault, or its own beginning, within so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What can be seen of a service under a fault.

    Attributes:
        history: telemetry of the service.
        force: from when until when the fault is in force, microseconds UTC.
        at_us: what ended before is looked at.
    """

    history: History
    force: Span
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another fault that may explain what is measured.

    Attributes:
        span: from when until when, microseconds UTC.
        is_over: that end is certain.
    """

    fault_id: str
    span: Span
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An effect that a test found; `shared_with` names the other faults that explain it as well."""

    outcome: Outcome
    p_value: float
    shared_with: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """When records deviate.

    Attributes:
        intervals: since when and until when.
        late: of these the stretches behind the end of the fault in which requests and calls end that had met
            it, since they began before.
    """

    intervals: list[Interval]
    late: list[Interval]


class MeasureTest:
    """One measure at a service.

    Args:
        measure: what is measured.
        peers: of calls, those that are measured.
        instances: likewise; empty for all.
        baseline: what it does without faults.
        policy: rates and bounds.

    Attributes:
        found: the effect, once there is one.
        last: what the last look said.
        p_value: the smallest so far, corrected for all that was tested.
    """

    def __init__(
        self,
        measure: Measure,
        *,
        peers: frozenset[str],
        instances: tuple[str, ...],
        baseline: Baseline,
        policy: EffectPolicy,
    ) -> None:
        self.measure = measure
        self.peers = peers
        self.baseline = baseline
        self.found: Found | None = None
        self.last: Outcome | None = None
        self.p_value = 1.0
        self._instances = instances
        self._policy = policy

    @property
    def series(self) -> str:
        """What was measured, named as the features of windows are."""
        if self.measure.of == "metric":
            return f"metric/{self.measure.metric}/{self.baseline.name}"
        if self.measure.of == "requests":
            return f"request/*/{self.baseline.name}"
        peers = sorted(self.peers)
        return f"call/{peers[0] if len(peers) == 1 else '*'}/{self.baseline.name}"

    @property
    def is_level(self) -> bool:
        """Whether it measures points of a metric, each of which says what was in the time before it."""
        return self.measure.statistic == "level"

    @property
    def is_open(self) -> bool:
        """Whether an effect of this fault alone may still be found."""
        return self.found is None or bool(self.found.shared_with)

    def look(self, view: View, rivals: Sequence[Rival], part: float) -> None:
        """Tests the records that began while the fault was in force.

        Where other faults may explain them too, first those that they can't, then all.

        Args:
            view: what can be seen.
            rivals: the other faults.
            part: of the rate of false alarms, that this look may use.
        """
        begin_us, end_us = view.force[0], self.baseline.end_us(view.at_us, view.force[1])
        if end_us <= begin_us:
            return
        whole = [(begin_us, end_us)]
        met = [rival for rival in rivals if rival.span[0] < end_us and rival.span[1] > begin_us]
        if not met:
            self._test(view, whole, part, ())
            return
        self._test(view, without(whole, (rival.span for rival in met)), part / 2, ())
        if self.found is None:
            self._test(view, whole, part / 2, tuple(sorted(rival.fault_id for rival in met)))

    def date(self, view: View, rivals: Sequence[Rival]) -> Dated:
        """When records deviate, by all records up to an instant; arguments as `look`.

        Without any that can be dated, an effect that was found has the time of the fault.
        """
        begin_us, end_us = view.force
        samples = view.history.samples(
            self.measure, self.peers, begin_us - _BEFORE_US, view.at_us, instances=self._instances
        )
        samples = samples.where(np.argsort(samples.end_us, kind="stable"))
        samples = samples.where(samples.end_us <= view.at_us)
        baseline = self.baseline
        if isinstance(baseline, CountBaseline):
            # Alone, one silence that is longer than usual says nothing.
            quiet = [] if self.found is None else _silences(baseline, samples, view)
            return Dated(intervals=quiet or self._undated(view), late=[])
        if isinstance(baseline, LevelBaseline):
            end_us += baseline.interval_us
        counted = samples.end_us >= begin_us
        inside = (samples.begin_us >= begin_us) & (samples.begin_us < end_us)
        # What began outside the fault's time, but in that of another one, is the other one's.
        for first_us, last_us in (rival.span for rival in rivals):
            counted &= inside | (samples.begin_us < first_us) | (samples.begin_us >= last_us)
        deviating = baseline.deviating(samples, inside)
        flags = deviating.flags & counted
        found = runs(
            samples.end_us,
            flags,
            natural=deviating.natural,
            share=deviating.share,
            pause_us=LINGERS_US,
            partly=None if deviating.partly is None else deviating.partly & counted,
            only_strong=self.found is None,
        )
        is_late = flags & (samples.begin_us < end_us) & (samples.end_us >= end_us)
        late = stretches(samples.end_us[is_late], found, end_us, self._policy.least_deviating)
        return Dated(intervals=found or self._undated(view), late=late)

    def _undated(self, view: View) -> list[Interval]:
        """Of an effect without a record that could be dated: the time of the fault."""
        begin_us, end_us = view.force
        return [] if self.found is None else [Interval(start_us=begin_us, end_us=min(end_us, view.at_us))]

    def _test(self, view: View, pieces: Sequence[Span], part: float, shared_with: tuple[str, ...]) -> None:
        pieces = newest(pieces, self.baseline.longest_us)
        length_us = sum(end - begin for begin, end in pieces)
        if length_us < self._policy.shortest_us:
            return
        outcome = self.baseline.test(self._samples(view, pieces), length_us)
        p_value = min(1.0, outcome.p_value / part)
        if outcome.stretches >= self._policy.least_stretches:
            self.last = outcome
            self.p_value = min(self.p_value, p_value)
            if p_value <= self._policy.alpha and outcome.is_large:
                self.found = Found(outcome=outcome, p_value=p_value, shared_with=shared_with)

    def _samples(self, view: View, pieces: Sequence[Span]) -> Samples:
        """The records that began in some pieces of time, as far as they have ended.

        A record that ends in the time of another fault may be that one's doing, so a piece that is cut off by
        one must hold the whole record.
        """
        samples = view.history.samples(
            self.measure, self.peers, pieces[0][0], pieces[-1][1], instances=self._instances
        )
        whole_us = self.baseline.end_us(view.at_us, view.force[1])
        wanted = np.zeros(len(samples), np.bool_)
        for first_us, last_us in pieces:
            until_us = view.at_us if last_us == whole_us else last_us
            wanted |= (
                (samples.begin_us >= first_us) & (samples.begin_us < last_us) & (samples.end_us <= until_us)
            )
        return samples if wanted.all() else samples.where(wanted)


def _silences(baseline: CountBaseline, samples: Samples, view: View) -> list[Interval]:
    """Where nothing came; empty where more came than usual, or only fewer."""
    begin_us, end_us = view.force
    if baseline.measure.direction != "down":
        return []
    return [
        each
        for each in silences(np.sort(samples.begin_us), baseline.usual_gap_us, begin_us, view.at_us)
        if each.start_us < end_us + baseline.usual_gap_us
    ]
