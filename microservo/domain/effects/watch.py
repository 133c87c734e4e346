"""One service under one fault: its tests, what they found, and since when and until when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from microservo.domain.effects.baseline import Baseline, Outcome
from microservo.domain.effects.counts import CountBaseline
from microservo.domain.effects.free_time import Span, newest, without
from microservo.domain.effects.history import History, Samples
from microservo.domain.effects.intervals import Interval, merged, runs, silences
from microservo.domain.effects.levels import LevelBaseline
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.faults.base import Measure
from schemas.records import Finding

_BEFORE_US = 60_000_000
"""No request that a fault meets on its way began longer before it."""


_LINGERS_US = 3_000_000
"""An after-effect follows the fault, or its own beginning, within so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another fault that may explain what is measured, from when until when; microseconds UTC."""

    fault_id: str
    span: Span
    is_settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An effect that a test found; `shared_with` names the other faults that explain it as well."""

    outcome: Outcome
    p_value: float
    shared_with: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Test:
    """One measure at the service.

    Attributes:
        peers: of calls, those that are measured.
        instances: likewise; empty for all.
        baseline: what it does without faults.
        found: the effect, once there is one.
        last: what the last look said.
        p_value: the smallest so far, corrected for all that was tested.
    """

    measure: Measure
    peers: frozenset[str]
    instances: tuple[str, ...]
    baseline: Baseline
    found: Found | None = None
    last: Outcome | None = None
    p_value: float = 1.0

    @property
    def series(self) -> str:
        """What was measured, named as the features of windows are."""
        if self.measure.of == "metric":
            return f"metric/{self.measure.metric}/{self.baseline.name}"
        if self.measure.of == "requests":
            return f"request/*/{self.baseline.name}"
        peers = sorted(self.peers)
        return f"call/{peers[0] if len(peers) == 1 else '*'}/{self.baseline.name}"

    def samples(self, history: History, pieces: Sequence[Span], at_us: int) -> Samples:
        """The records that began in some pieces of time, as far as they had ended at an instant.

        What ends in another fault's time may be that one's doing, so all but the last piece must hold the
        whole record.
        """
        begin_us, end_us = pieces[0][0], pieces[-1][1]
        samples = history.samples(self.measure, self.peers, begin_us, end_us, instances=self.instances)
        wanted = np.zeros(len(samples), np.bool_)
        for number, (first_us, last_us) in enumerate(pieces, start=1):
            until_us = at_us if number == len(pieces) else last_us
            wanted |= (
                (samples.begin_us >= first_us) & (samples.begin_us < last_us) & (samples.end_us <= until_us)
            )
        return samples if wanted.all() else samples.where(wanted)


class Watch:
    """The tests of one fault at one service.

    Args:
        service: its name.
        policy: rates and bounds.
    """

    def __init__(self, service: str, policy: EffectPolicy) -> None:
        self.service = service
        self.tests: list[Test] = []
        self.intervals: list[Interval] = []
        self.is_begun = False
        self.is_final = False
        self.is_open = False
        self.through_us = 0
        self._policy = policy

    @property
    def decisive(self) -> Test | None:
        """The test that found most: an effect of this fault alone before a shared one; the smallest p."""
        found = [test for test in self.tests if test.found is not None]
        return min(found, key=_rank, default=None)

    def finding(self, *, is_settled: bool) -> Finding:
        """What is known by now.

        Args:
            is_settled: whether all tests were made that will be.
        """
        if self.decisive is not None:
            return "visible"
        if self.tests and all(test.last is not None and test.last.is_excluded for test in self.tests):
            return "not_visible"
        return "inconclusive" if is_settled else "undecided"

    def look(
        self,
        history: History,
        force: Span,
        at_us: int,
        rivals: dict[int, list[Rival]],
        alphas: dict[int, float],
    ) -> None:
        """Makes the tests that have found no effect of this fault's own yet.

        Args:
            history: telemetry of the service.
            force: from when until when the fault is in force.
            at_us: what ended before is looked at.
            rivals: of each test, by its place.
            alphas: part of the rate of false alarms that each may use now, as a share of the whole.
        """
        for place, test in enumerate(self.tests):
            if test.found is None or test.found.shared_with:
                self._try(test, history, force, at_us, rivals[place], alphas[place])

    def measure(self, history: History, force: Span, at_us: int, rivals: dict[int, list[Rival]]) -> None:
        """Finds the intervals anew from all records up to an instant."""
        found = [
            interval
            for place, test in enumerate(self.tests)
            if test.found is not None
            for interval in self._intervals(test, test.found, history, force, at_us, rivals[place])
        ]
        self.intervals = merged(_connected(found, force[1]), self._policy.normal_after_us)

    def _try(
        self, test: Test, history: History, force: Span, at_us: int, rivals: Sequence[Rival], alpha: float
    ) -> None:
        end_us = test.baseline.end_us(at_us, force[1])
        whole = newest([(force[0], end_us)], test.baseline.longest_us) if end_us > force[0] else []
        met = [rival for rival in rivals if rival.span[0] < end_us and rival.span[1] > force[0]]
        if not met:
            self._test(test, history, whole, at_us, alpha, ())
            return
        alone = newest(
            without([(force[0], end_us)] if end_us > force[0] else [], (rival.span for rival in met)),
            test.baseline.longest_us,
        )
        self._test(test, history, alone, at_us, alpha / 2, ())
        if test.found is None:
            names = tuple(sorted(rival.fault_id for rival in met))
            self._test(test, history, whole, at_us, alpha / 2, names)

    def _test(
        self,
        test: Test,
        history: History,
        pieces: Sequence[Span],
        at_us: int,
        alpha: float,
        shared_with: tuple[str, ...],
    ) -> None:
        length_us = sum(end - begin for begin, end in pieces)
        if length_us < self._policy.shortest_us:
            return
        outcome = test.baseline.test(test.samples(history, pieces, at_us), length_us)
        p_value = min(1.0, outcome.p_value / alpha)
        if outcome.stretches >= self._policy.least_stretches:
            test.last = outcome
            test.p_value = min(test.p_value, p_value)
            if p_value <= self._policy.alpha and outcome.is_large:
                test.found = Found(outcome=outcome, p_value=p_value, shared_with=shared_with)

    def _intervals(
        self,
        test: Test,
        found: Found,
        history: History,
        force: Span,
        at_us: int,
        rivals: Iterable[Rival],
    ) -> list[Interval]:
        begin_us, end_us = force
        samples = history.samples(
            test.measure, test.peers, begin_us - _BEFORE_US, at_us, instances=test.instances
        )
        baseline = test.baseline
        if isinstance(baseline, CountBaseline):
            return self._silences(baseline, samples, force, at_us)
        counted = (samples.end_us >= begin_us) & (samples.end_us <= at_us)
        outside = (samples.begin_us < begin_us) | (samples.begin_us >= end_us)
        if isinstance(baseline, LevelBaseline):
            outside = (samples.begin_us < begin_us) | (samples.begin_us >= end_us + baseline.interval_us)
        for rival in rivals:
            counted &= ~(outside & (samples.begin_us >= rival.span[0]) & (samples.begin_us < rival.span[1]))
        deviating = baseline.deviating(samples, ~outside & counted)
        kept = counted | (samples.end_us < begin_us)
        order = np.argsort(samples.end_us[kept], kind="stable")
        return runs(
            samples.end_us[kept][order],
            (deviating.flags & counted)[kept][order],
            natural=deviating.natural,
            share=deviating.share,
            pause_us=_LINGERS_US,
        )

    def _silences(self, baseline: CountBaseline, samples: Samples, force: Span, at_us: int) -> list[Interval]:
        begin_us, end_us = force
        quiet = [
            each
            for each in silences(samples.begin_us, baseline.usual_gap_us, begin_us, at_us)
            if each.start_us < end_us + baseline.usual_gap_us
        ]
        if baseline.measure.direction == "down" and quiet:
            return quiet
        # Fewer or more than usual, and no record of it that could be dated.
        return [Interval(start_us=begin_us, end_us=min(end_us, at_us))]


def _connected(intervals: Iterable[Interval], end_us: int) -> list[Interval]:
    """Without what begins when the fault was over and all was normal again: services have slow seconds."""
    connected: list[Interval] = []
    for each in sorted(intervals, key=lambda interval: interval.start_us):
        if each.start_us < end_us + _LINGERS_US:
            connected.append(each)
            end_us = max(end_us, each.end_us)
    return connected


def _rank(test: Test) -> tuple[bool, float]:
    assert test.found is not None
    return bool(test.found.shared_with), test.found.p_value
