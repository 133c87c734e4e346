"""The windower's rules, one at a time.

::

    seconds   0         5   7 (first cut)            35 (final cut)
              [ window  )---|------------------------|
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from microservo.domain.closed_window import ClosedWindow
from microservo.domain.join import process_message
from microservo.domain.joined_topics import SOURCES, WAITED_FOR
from microservo.domain.revisions import MOST_CUTS
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.errors import InvalidMessage
from schemas.catalogue import FAULT_EFFECTS, SERVICE_ACTIONS, TELEMETRY_METRICS
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import FaultEffect, FaultVerdict, MetricBatch, RunWriter, ServiceFault

S = 1_000_000


FAULT = ServiceFault(
    run_id="run",
    fault_id="f",
    version=1,
    kind="cpu-hog",
    service="cart",
    root_service="cart",
    role="root_cause",
    relation="root",
    hops=0,
    severity=1.0,
    requested_at_us=0,
    apply_commanded_at_us=0,
    applied_at_us=1 * S,
)
EFFECT = FaultEffect(
    run_id="run",
    fault_id="f",
    service="cart",
    version=1,
    root_service="cart",
    relation="root",
    finding="visible",
    starts_us=(2 * S,),
    ends_us=(5 * S - 1,),
    is_open=True,
    through_us=5 * S,
    is_final=False,
)


def writers_of_a_run() -> list[RunWriter]:
    """Of one without a manager."""
    return [
        RunWriter(
            topic=source,
            writer="w",
            from_us=0,
            first_cut_us=2 * S if source in WAITED_FOR else NEVER_WAITS_US,
            final_cut_us=30 * S,
        )
        for source in SOURCES
        if source != SERVICE_ACTIONS
    ]


class Feed:
    """A windower and its writers; times in seconds."""

    def __init__(self, *, is_observed: bool = False) -> None:
        self.windower = Windower(WindowPolicy())
        if is_observed:
            self.windower.open_run("run", writers_of_a_run())

    def promise(self, at_s: float, *sources: str) -> list[ClosedWindow]:
        for source in sources or SOURCES:
            self.windower.heartbeat(source, stamp(at_s))
        return list(self.windower.close())

    def point(self, time_s: float, value: float = 1.0, *, stamped_s: float) -> None:
        self.windower.telemetry(batch((time_s, value)), stamp(stamped_s))

    def counts(self) -> dict[str, int]:
        total = dict.fromkeys(("read", "in_windows", "late", "duplicate", "dropped", "rejected", "open"), 0)
        for _, counts in self.windower.ledger:
            for name in total:
                total[name] += getattr(counts, name)
        return {name: count for name, count in total.items() if count}


def stamp(at_s: float, writer: str = "w") -> Stamp:
    return Stamp(run="run", watermark_us=int(at_s * S), writer=writer, sequence=0, total=0)


def batch(*points: tuple[float, float]) -> MetricBatch:
    return MetricBatch(
        run_id="run",
        service="cart",
        instances=("cart-0",),
        names=("cpu",),
        time_us=np.array([time_s * S for time_s, _ in points]).astype("<i8").tobytes(),
        instance=bytes(2 * len(points)),
        name=bytes(2 * len(points)),
        value=np.array([value for _, value in points]).tobytes(),
    )


def means(windows: list[ClosedWindow]) -> list[tuple[int, float]]:
    return [(window.revision, window.features["metric/cpu/mean"]) for window in windows]


def test_a_window_closes_when_every_source_has_passed_its_first_cut() -> None:
    feed = Feed()
    feed.point(1, stamped_s=1)
    assert feed.promise(6.9) == []
    assert feed.promise(7, *WAITED_FOR[:-1]) == []
    assert means(feed.promise(7, WAITED_FOR[-1])) == [(0, 1.0)]


def test_a_window_without_late_records_has_one_revision() -> None:
    feed = Feed()
    feed.point(1, stamped_s=1)
    assert len(feed.promise(7)) == 1
    assert feed.promise(35) == []
    assert feed.counts() == {"read": 1, "in_windows": 1}


def test_a_late_record_makes_a_second_revision() -> None:
    feed = Feed()
    feed.point(1, 1.0, stamped_s=1)
    assert means(feed.promise(7)) == [(0, 1.0)]
    feed.point(2, 3.0, stamped_s=34)
    assert means(feed.promise(35)) == [(1, 2.0)]
    assert feed.counts() == {"read": 2, "in_windows": 1, "late": 1}


def test_a_record_that_is_too_late_is_dropped_and_counted() -> None:
    feed = Feed()
    feed.point(1, 1.0, stamped_s=1)
    feed.promise(34)
    feed.point(2, 3.0, stamped_s=35)
    assert feed.promise(36) == []
    assert feed.counts() == {"read": 2, "in_windows": 1, "dropped": 1}


def test_lateness_is_read_from_the_stamp_and_not_from_arrival() -> None:
    feed = Feed()
    feed.point(1, 1.0, stamped_s=1)
    for source in SOURCES[1:]:
        feed.windower.heartbeat(source, stamp(6))
    feed.point(2, 3.0, stamped_s=8)
    assert means(feed.promise(40, *SOURCES[1:])) == [(0, 1.0)], (
        "stamped after the first cut: not in revision 0"
    )
    assert means(feed.promise(40)) == [(1, 2.0)]


def test_a_window_of_which_everything_is_late_has_only_revision_1() -> None:
    feed = Feed()
    feed.promise(8)
    feed.point(1, 5.0, stamped_s=9)
    assert means(feed.promise(40)) == [(1, 5.0)]


def test_a_repeated_record_counts_once() -> None:
    feed = Feed()
    for _ in range(3):
        feed.point(1, 1.0, stamped_s=1)
    (window,) = feed.promise(7)
    assert window.features["metric/cpu/count"] == 1.0
    feed.promise(35)
    assert feed.counts() == {"read": 3, "in_windows": 1, "duplicate": 2}


def test_records_of_one_message_go_to_their_windows_in_whatever_order_they_are() -> None:
    feed = Feed()
    points = ((11.0, 4.0), (1.0, 1.0), (6.0, 3.0), (2.0, 2.0), (11.0, 4.0))
    feed.windower.telemetry(batch(*points), stamp(6.5))
    closed = feed.promise(18)
    assert [(window.start_us // S, window.features["metric/cpu/mean"]) for window in closed] == [
        (0, 1.5),
        (5, 3.0),
        (10, 4.0),
    ]
    feed.promise(60)
    assert feed.counts() == {"read": 5, "in_windows": 4, "duplicate": 1}


def test_a_late_fault_revises_the_label_and_leaves_the_features() -> None:
    feed = Feed()
    feed.point(1, stamped_s=1)
    (first,) = feed.promise(7)
    assert first.truth.labels == ()
    feed.windower.fault(FAULT, stamp(8))
    (second,) = feed.promise(35)
    assert (second.revision, second.features_changed) == (1, False)
    assert [(found.phase, found.overlap) for found in second.truth.labels] == [("active", 0.8)]


def observed(feed: Feed) -> list[ClosedWindow]:
    """A window with a fault in force, up to its first cut."""
    feed.point(1, stamped_s=1)
    feed.windower.fault(FAULT, stamp(2))
    return feed.promise(7, *WAITED_FOR)


def findings(windows: list[ClosedWindow]) -> list[tuple[int, str, str]]:
    return [
        (window.revision, window.truth.truth, window.truth.labels[0].finding if window.truth.labels else "")
        for window in windows
    ]


def test_revision_0_does_not_wait_for_what_is_measured_and_the_final_cut_does() -> None:
    feed = Feed(is_observed=True)
    assert findings(observed(feed)) == [(0, "masked", "undecided")]
    assert feed.promise(50, *WAITED_FOR) == []
    feed.windower.effect(EFFECT, stamp(8))
    assert feed.promise(34.9, FAULT_EFFECTS) == []
    assert findings(feed.promise(35, FAULT_EFFECTS)) == [(1, "anomalous", "visible")]


def test_what_is_measured_in_time_for_revision_0_waits_for_revision_1_all_the_same() -> None:
    """Or the labels of revision 0 would depend on how fast somebody measured."""
    feed = Feed(is_observed=True)
    feed.windower.effect(EFFECT, stamp(5))
    assert findings(observed(feed)) == [(0, "masked", "undecided")]


def test_what_is_measured_after_the_final_cut_is_another_revision_of_the_label_alone() -> None:
    feed = Feed(is_observed=True)
    observed(feed)
    assert feed.promise(35) == [], "nothing new"
    feed.windower.effect(replace(EFFECT, through_us=4 * S), stamp(36))
    assert feed.promise(65) == [], "looked at, but not to its end"
    feed.windower.effect(replace(EFFECT, version=2), stamp(70))
    third = feed.promise(95)
    assert findings(third) == [(3, "anomalous", "visible")]
    assert not third[0].features_changed
    assert third[0].features["metric/cpu/mean"] == 1.0
    feed.windower.effect(replace(EFFECT, version=3, finding="not_visible", is_final=True), stamp(95))
    assert findings(feed.promise(125)) == [(4, "masked", "not_visible")]
    feed.windower.effect(replace(EFFECT, version=4), stamp(125))
    assert feed.promise(500) == [], "its labels were settled"


def test_windows_are_final_when_their_labels_are_settled_and_none_that_ends_later_before() -> None:
    feed = Feed(is_observed=True)
    observed(feed)
    feed.promise(50)
    assert feed.windower.final_us("run") == 5 * S - 1
    assert [kept[:2] for kept in feed.windower.unfinished("run")] == [("cart", 0)]
    feed.windower.effect(replace(EFFECT, is_final=True), stamp(50))
    feed.promise(65)
    assert feed.windower.final_us("run") == 35 * S
    assert list(feed.windower.unfinished("run")) == []


def test_a_window_is_kept_for_so_many_cuts_and_then_final_whatever_is_open() -> None:
    feed = Feed(is_observed=True)
    observed(feed)
    feed.promise(5 + MOST_CUTS * 30 - 1)
    assert feed.windower.final_us("run") == 5 * S - 1
    feed.promise(5 + MOST_CUTS * 30)
    assert feed.windower.final_us("run") > 5 * S
    feed.windower.effect(EFFECT, stamp(5 + MOST_CUTS * 30))
    assert feed.promise(5 + (MOST_CUTS + 2) * 30) == []


def test_where_nobody_measures_effects_no_window_waits_for_them() -> None:
    feed = Feed()
    feed.point(1, stamped_s=1)
    feed.windower.fault(FAULT, stamp(2))
    assert findings(feed.promise(7, *WAITED_FOR)) == [(0, "masked", "undecided")]
    feed.promise(35, *WAITED_FOR)
    assert feed.windower.final_us("run") == 5 * S
    with pytest.raises(InvalidMessage, match="can't write fault-effects"):
        feed.windower.effect(EFFECT, stamp(36))


def test_a_run_that_was_read_to_its_end_keeps_no_window() -> None:
    feed = Feed(is_observed=True)
    observed(feed)
    feed.promise(50)
    feed.windower.end_run("run")
    assert list(feed.windower.unfinished("run")) == []
    assert feed.windower.final_us("run") == 20 * S


def test_the_verdict_about_a_fault_says_nothing_about_windows() -> None:
    feed = Feed(is_observed=True)
    observed(feed)
    verdict = FaultVerdict(run_id="run", fault_id="f", service="cart", version=1, verdict="confirmed")
    process_message(feed.windower, FAULT_EFFECTS, encode(verdict), stamp(8).headers())
    assert feed.promise(35) == []
    with pytest.raises(InvalidMessage, match="expected a FaultEffect or a FaultVerdict, got a ServiceFault"):
        process_message(feed.windower, FAULT_EFFECTS, encode(FAULT), stamp(36).headers())


@pytest.mark.parametrize("time_s", [-1, 7.000001, 10_000_000])
def test_a_record_before_1970_or_from_the_future_refuses_its_message(time_s: float) -> None:
    feed = Feed()
    with pytest.raises(InvalidMessage, match="before 1970 or beyond"):
        feed.windower.telemetry(batch((1, 1.0), (time_s, 1.0)), stamp(2))
    feed.point(1, stamped_s=2)
    assert len(feed.promise(7)) == 1
    assert feed.counts() == {"read": 3, "rejected": 2, "open": 1}


def test_a_writer_that_takes_its_promise_back_is_refused() -> None:
    feed = Feed()
    feed.promise(9)
    with pytest.raises(InvalidMessage, match="took its promise back"):
        feed.point(1, stamped_s=8)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("value", b"", "column value has 0 entries; expected 1"),
        ("time_us", b"123", "column time_us has 0.375 entries; expected 0"),
        ("name", b"\1\0", "points at entry 1 of a dictionary of 1"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column: str, value: bytes, reason: str) -> None:
    uneven = encode(replace(batch((1, 1.0)), **{column: value}))  # type: ignore[arg-type]
    with pytest.raises(InvalidMessage, match=reason):
        process_message(Feed().windower, TELEMETRY_METRICS, uneven, stamp(1).headers())


def test_an_undefined_slope_alone_is_no_change() -> None:
    feed = Feed()
    feed.point(1, 1.0, stamped_s=1)
    (window,) = feed.promise(7)
    assert math.isnan(window.features["metric/cpu/slope"])
    feed.point(1, 1.0, stamped_s=8)
    assert feed.promise(35) == [], "the same record once more, late"
    assert feed.counts() == {"read": 2, "in_windows": 1, "duplicate": 1}


def test_windows_that_were_final_before_a_restart_are_not_made_again() -> None:
    windower = Windower(WindowPolicy())
    windower.open_run("run", final_us=6 * S)
    windower.telemetry(batch((1, 1.0), (6, 2.0)), stamp(6))
    for source in SOURCES:
        windower.heartbeat(source, stamp(50))
    assert [window.start_us for window in windower.close()] == [5 * S]


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        WindowPolicy(size_us=0)
    with pytest.raises(ValueError, match="makes no sense"):
        WindowPolicy(first_cut_us=10, final_cut_us=5)
