"""The effect observer: did a fault show in the telemetry, since when, and when was it over?

It reads the feature windows of all services (revision 0, in order for each service) and holds each fault's
contract against them::

    baseline: the median of up to 12 windows that ended before `applied`
                                    applied                 recovered
    ──[ ]──[ ]──[ ]──[ ]──[ ]──[ ]────|──[ ]──[!]──[!]──[ ]─────|──[ ]──[ok]──
                                             effect seen               normal again
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

from microservo.domain.faults.base import Expectation
from schemas.records import EffectVerdict, FeatureWindow

BASELINE_WINDOWS = 12
LEAST_BASELINE = 2
SLACK_US = 1_000_000
"""Metrics are sampled each second, so what a fault did may first be measured that long after it was over."""
NORMAL_WITHIN_US = 30_000_000
GIVE_UP_US = 60_000_000
"""Wall time after recovery at which no more windows are waited for."""

_REMEMBERED = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known of a fault's effect by now; instants in epoch microseconds.

    Attributes:
        is_final: nothing more will come.
    """

    fault_id: str
    verdict: EffectVerdict
    effect_seen_at_us: int | None = None
    normal_at_us: int | None = None
    evidence: str = ""
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class _Window:
    start_us: int
    end_us: int
    features: Mapping[str, float]

    def value(self, feature: str) -> float | None:
        """The value of a feature; what is counted and isn't there was counted zero times."""
        found = self.features.get(feature)
        if found is None:
            return 0.0 if _is_counted(feature) else None
        return found if isfinite(found) else None


class History:
    """The last windows of every service."""

    def __init__(self) -> None:
        self._windows: dict[str, deque[_Window]] = {}

    def add(self, window: FeatureWindow) -> _Window | None:
        """Adds a window; None when it is not newer than the last one of its service."""
        windows = self._windows.setdefault(window.service, deque(maxlen=_REMEMBERED))
        if windows and window.start_us <= windows[-1].start_us:
            return None
        features = dict(zip(window.names, window.values, strict=True))
        windows.append(_Window(window.start_us, window.end_us, features))
        return windows[-1]

    def count(self, service: str, before_us: int) -> int:
        """How many windows of a service ended before an instant."""
        return sum(window.end_us <= before_us for window in self._windows.get(service, ()))

    def baseline(self, service: str, feature: str, before_us: int) -> float | None:
        """The median of a feature over the last windows before an instant; None with fewer than two."""
        values = [
            value
            for window in self._windows.get(service, ())
            if window.end_us <= before_us and (value := window.value(feature)) is not None
        ]
        return statistics.median(values[-BASELINE_WINDOWS:]) if len(values) >= LEAST_BASELINE else None


@dataclass(slots=True, kw_only=True)
class _Series:
    """One feature of one service that the contract names."""

    expectation: Expectation
    feature: str
    baseline: float
    threshold: float
    fired: bool = False

    def moved(self, value: float) -> float:
        """How far a value lies in the expected direction."""
        change = value - self.baseline
        return change if self.expectation.direction == "up" else -change


@dataclass(slots=True, kw_only=True)
class _Watch:
    """One fault under observation."""

    fault_id: str
    target: str
    expectations: tuple[Expectation, ...]
    applied_at_us: int
    recovered_at_us: int | None = None
    series: dict[tuple[str, Expectation], _Series] = field(default_factory=dict)
    looked: set[str] = field(default_factory=set)
    whole_windows: int = 0
    whole_windows_looked: int = 0
    overlapping_target_windows: int = 0
    newest_us: dict[str, int] = field(default_factory=dict)
    seen_at_us: int | None = None
    evidence: str = ""
    normal: dict[int, dict[tuple[str, Expectation], bool]] = field(default_factory=dict)

    def observe(self, service: str, window: _Window, history: History) -> None:
        self.newest_us[service] = max(self.newest_us.get(service, 0), window.start_us)
        if window.end_us <= self.applied_at_us:
            return
        if service == self.target and self._overlaps(window):
            self.overlapping_target_windows += 1
        looked = False
        for expectation in self._about(service):
            series = self._series(service, expectation, history)
            value = None if series is None else window.value(series.feature)
            if series is not None and value is not None:
                self._compare(service, window, series, value)
                looked = True
        if looked or service in self.looked:
            self._count_whole(window, looked=looked)

    def has_looked(self) -> bool:
        """Whether there was enough to see: a value in a window that lay wholly within the fault.

        Where no such window can be (a short fault), a value in any window that overlaps it.
        """
        return bool(self.looked) and (self.whole_windows_looked > 0 or self.whole_windows == 0)

    def normal_at_us(self) -> int | None:
        """Start of the first window in which all that had moved was back."""
        waited = {key for key, each in self.series.items() if each.fired and each.expectation.returns}
        if not waited:
            # Only counters moved, which never return: over as soon as the fault is.
            return min(self.normal, default=None)
        back = (start for start, found in self.normal.items() if all(found.get(key, False) for key in waited))
        return min(back, default=None)

    def is_read_through(self) -> bool:
        """Whether every service that was looked at has shown a window from after the fault."""
        if self.recovered_at_us is None:
            return False
        over_us = self.recovered_at_us + SLACK_US
        return all(self.newest_us.get(service, 0) >= over_us for service in self.looked | {self.target})

    def is_normal_given_up(self) -> bool:
        if self.recovered_at_us is None:
            return False
        return max(self.newest_us.values(), default=0) >= self.recovered_at_us + NORMAL_WITHIN_US

    def _about(self, service: str) -> Iterator[Expectation]:
        for expectation in self.expectations:
            if (expectation.where == "target") == (service == self.target):
                yield expectation

    def _series(self, service: str, expectation: Expectation, history: History) -> _Series | None:
        key = (service, expectation)
        if key not in self.series:
            feature = expectation.feature.format(target=self.target)
            baseline = history.baseline(service, feature, self.applied_at_us)
            if baseline is None:
                return None
            threshold = expectation.threshold(baseline)
            self.series[key] = _Series(
                expectation=expectation, feature=feature, baseline=baseline, threshold=threshold
            )
        return self.series[key]

    def _compare(self, service: str, window: _Window, series: _Series, value: float) -> None:
        moved = series.moved(value)
        if self._overlaps(window):
            self.looked.add(service)
            if moved >= series.threshold:
                self._fire(service, window, series, value)
        if self.recovered_at_us is not None and window.start_us >= self.recovered_at_us:
            found = self.normal.setdefault(window.start_us, {})
            found[service, series.expectation] = moved < series.threshold / 2

    def _fire(self, service: str, window: _Window, series: _Series, value: float) -> None:
        series.fired = True
        seen_us = max(self.applied_at_us, window.start_us)
        if self.seen_at_us is None or seen_us < self.seen_at_us:
            self.seen_at_us = seen_us
            change = f"went from {series.baseline:.6g} to {value:.6g}"
            self.evidence = f"{service}: {series.feature} {change} (asked for {series.threshold:.6g})"

    def _count_whole(self, window: _Window, *, looked: bool) -> None:
        over_us = self.recovered_at_us
        if window.start_us >= self.applied_at_us and (over_us is None or window.end_us <= over_us):
            self.whole_windows += 1
            self.whole_windows_looked += looked

    def _overlaps(self, window: _Window) -> bool:
        over_us = self.recovered_at_us
        return window.end_us > self.applied_at_us and (
            over_us is None or window.start_us < over_us + SLACK_US
        )


class EffectObserver:
    """Watches faults from `applied` on until their verdict is final."""

    def __init__(self) -> None:
        self._history = History()
        self._watches: dict[str, _Watch] = {}

    def watch(
        self, fault_id: str, *, target: str, expectations: tuple[Expectation, ...], applied_at_us: int
    ) -> None:
        """Begins to watch a fault, before any window that overlaps it is read."""
        self._watches.setdefault(
            fault_id,
            _Watch(fault_id=fault_id, target=target, expectations=expectations, applied_at_us=applied_at_us),
        )

    def recovered(self, fault_id: str, at_us: int) -> None:
        """Records when a fault was out of force."""
        if fault_id in self._watches:
            self._watches[fault_id].recovered_at_us = at_us

    def observe(self, window: FeatureWindow) -> None:
        """Processes a window; later revisions of a window and repetitions are ignored."""
        if window.revision != 0:
            return
        added = self._history.add(window)
        if added is not None:
            for watch in self._watches.values():
                watch.observe(window.service, added, self._history)

    def judge(self, now_us: int) -> list[Judgement]:
        """What is known now of each watched fault; those with a final verdict are watched no longer."""
        judgements = [found for watch in self._watches.values() if (found := self._judge(watch, now_us))]
        for judgement in judgements:
            if judgement.is_final:
                del self._watches[judgement.fault_id]
        return judgements

    def _judge(self, watch: _Watch, now_us: int) -> Judgement | None:
        over_us = watch.recovered_at_us
        is_timed_out = over_us is not None and now_us >= over_us + GIVE_UP_US
        if watch.seen_at_us is not None:
            return self._confirmed(watch, is_timed_out=is_timed_out)
        if not (watch.is_read_through() or is_timed_out):
            return None
        if self._has_enough(watch):
            return Judgement(
                fault_id=watch.fault_id,
                verdict="ineffective",
                evidence="nothing that should move did",
                is_final=True,
            )
        return Judgement(
            fault_id=watch.fault_id,
            verdict="inconclusive",
            evidence="too few windows before or during the fault, or no traffic in them",
            is_final=True,
        )

    def _confirmed(self, watch: _Watch, *, is_timed_out: bool) -> Judgement:
        normal_us = watch.normal_at_us() if watch.is_read_through() else None
        return Judgement(
            fault_id=watch.fault_id,
            verdict="confirmed",
            effect_seen_at_us=watch.seen_at_us,
            normal_at_us=normal_us,
            evidence=watch.evidence,
            is_final=normal_us is not None or watch.is_normal_given_up() or is_timed_out,
        )

    def _has_enough(self, watch: _Watch) -> bool:
        if watch.expectations:
            return watch.has_looked()
        before = self._history.count(watch.target, watch.applied_at_us)
        return before >= LEAST_BASELINE and watch.overlapping_target_windows > 0


def _is_counted(feature: str) -> bool:
    """Whether the feature is a count of things, which no window lists when there were none."""
    return feature.startswith("log/") or (
        feature.endswith("/count") and feature.startswith(("request/", "call/"))
    )
