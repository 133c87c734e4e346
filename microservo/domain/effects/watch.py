"""One service under one fault: its tests, what they found, and since when and until when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from microservo.domain.effects.intervals import Interval, merged
from microservo.domain.effects.measure_test import LINGERS_US, MeasureTest, Rival, View
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.labels import JOINED_US
from schemas.records import Finding


class Watch:
    """The tests of one fault at one service.

    Args:
        service: its name.
        policy: rates and bounds.

    Attributes:
        intervals: of the effect, as far as it was found.
        late: the stretches of them in which records lie that met the fault and ended after it.
        is_begun: the tests were chosen.
        is_over: whatever is found of this fault here lies in the past.
        is_final: nothing more will be found.
        is_open: the last interval goes on.
        through_us: what happened before was looked at, microseconds UTC.
    """

    def __init__(self, service: str, policy: EffectPolicy) -> None:
        self.service = service
        self.tests: list[MeasureTest] = []
        self.intervals: list[Interval] = []
        self.late: list[Interval] = []
        self.is_begun = False
        self.is_over = False
        self.is_final = False
        self.is_open = False
        self.through_us = 0
        self._policy = policy

    @property
    def decisive(self) -> MeasureTest | None:
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

    def look(self, view: View, rivals: Sequence[Sequence[Rival]], part: float) -> None:
        """Makes the tests that have found no effect of this fault's own yet.

        Args:
            view: what can be seen.
            rivals: of each test, the other faults that may explain what it measures.
            part: of the rate of false alarms, that each test may use now.
        """
        for test, others in zip(self.tests, rivals, strict=True):
            if test.is_open:
                test.look(view, others, part)

    def measure(self, view: View, rivals: Sequence[Sequence[Rival]]) -> None:
        """Finds the intervals anew; arguments as `look`."""
        tests = list(zip(self.tests, rivals, strict=True))
        found = [(test, test.date(view, others)) for test, others in tests if test.found is not None]
        intervals = [each for test, dated in found if not test.is_level for each in dated.intervals]
        levels = [each for test, dated in found if test.is_level for each in dated.intervals]
        if levels:
            finer = [test.date(view, others) for test, others in tests if test.found is None]
            starts_us = [each.start_us for dated in finer for each in dated.intervals]
            intervals += [_begun_within(each, starts_us) for each in levels]
        self.late = merged([stretch for _, dated in found for stretch in dated.late], JOINED_US)
        self.intervals = merged(_connected(intervals, self.late, view.force[1]), self._policy.normal_after_us)


def _begun_within(interval: Interval, starts_us: Iterable[int]) -> Interval:
    """The interval of a level, begun at the first of some instants that its first point speaks of.

    Such a point says what was in all the time since the last one. Once it is certain that the level moved,
    what else such a fault moves tells when, also where that alone is too little to be an effect.
    """
    if interval.start_within_us is None:
        return interval
    earliest_us = interval.start_us - interval.start_within_us
    start_us = min((each for each in starts_us if earliest_us < each), default=interval.start_us)
    if start_us >= interval.start_us:
        return interval
    return replace(interval, start_us=start_us, start_within_us=start_us - earliest_us)


def _connected(intervals: Iterable[Interval], late: Sequence[Interval], end_us: int) -> list[Interval]:
    """Without what begins when the fault was over and all was normal again: services have slow seconds.

    Requests that had met the fault may end long after it.
    """
    connected: list[Interval] = []
    for each in sorted(intervals, key=lambda interval: interval.start_us):
        has_met_it = any(each.start_us <= stretch.start_us <= each.end_us for stretch in late)
        if has_met_it or each.start_us < end_us + LINGERS_US:
            connected.append(each)
            end_us = max(end_us, each.end_us)
    return connected


def _rank(test: MeasureTest) -> tuple[bool, float]:
    assert test.found is not None
    return bool(test.found.shared_with), test.found.p_value
