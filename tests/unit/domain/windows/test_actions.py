"""Acts of placement on the windows that they overlap.

::

    seconds    0    5    10   15              35 (final cut of the first window)
    windows    [----)[----)[----)
    a move        3 |-------| 11
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from microservo.domain.action_versions import ActionVersions, span_of
from microservo.domain.closed_window import ClosedWindow
from microservo.domain.joined_topics import SOURCES, TOLD_LATER, WAITED_FOR
from microservo.domain.labels import FOREVER, Span
from microservo.domain.revisions import MOST_CUTS
from microservo.domain.watermarks import NEVER_WAITS_US, UNKNOWN, Cut, Passed
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.errors import InvalidMessage
from schemas.catalogue import FAULT_EFFECTS, SERVICE_ACTIONS
from schemas.codec import decode_as, encode
from schemas.envelope import Stamp
from schemas.examples import examples
from schemas.records import LabelledWindow, MetricBatch, RunWriter, ServiceAction

S = 1_000_000
BEGUN = ServiceAction(
    run_id="run",
    service="cart",
    decision_id="migrate-1",
    version=1,
    manager="master",
    policy="rules",
    what="move",
    origin="rule",
    decided_by="follow-demand",
    why="cpu-% 12 >= 0",
    decided_us=3 * S,
    container="cart-b",
    replaces="cart-a",
    from_host="berlin",
    from_region="Europe",
    to_host="tokyo",
    to_region="Asia",
    begun_us=3 * S,
)
ENDED = replace(
    BEGUN,
    version=2,
    serving_us=5 * S,
    ended_us=11 * S,
    outcome="done",
    is_final=True,
    cost_host_s=8.0,
    requests_lost=0,
)


def point(at_s: int) -> MetricBatch:
    return MetricBatch(
        run_id="run",
        service="cart",
        instances=("cart-a",),
        names=("cpu",),
        time_us=np.array([at_s * S], "<i8").tobytes(),
        instance=bytes(2),
        name=bytes(2),
        value=np.ones(1).tobytes(),
    )


def stamp(at_s: float) -> Stamp:
    return Stamp(run="run", watermark_us=int(at_s * S), writer="w", sequence=0, total=0)


class Feed:
    """A windower of a service with a point in each window; times in seconds.

    Args:
        sources: topics that the run declares a writer of.
    """

    def __init__(self, sources: Iterable[str] = SOURCES) -> None:
        self.sources = tuple(sources)
        self.windower = Windower(WindowPolicy())
        self.windower.open_run(
            "run",
            [
                RunWriter(
                    topic=source,
                    writer="w",
                    from_us=0,
                    first_cut_us=NEVER_WAITS_US if source in TOLD_LATER else 2 * S,
                    final_cut_us=30 * S,
                )
                for source in self.sources
            ],
        )
        for at_s in (1, 6, 11):
            self.windower.telemetry(point(at_s), stamp(at_s))

    def promise(self, at_s: float, *sources: str) -> list[ClosedWindow]:
        for source in sources or self.sources:
            self.windower.heartbeat(source, stamp(at_s))
        return list(self.windower.close())

    def act(self, action: ServiceAction, *, stamped_s: float) -> None:
        self.windower.action(action, stamp(stamped_s))


def carried(windows: Iterable[ClosedWindow]) -> list[tuple[int, int, list[tuple[str, float]]]]:
    """Start in seconds, revision, and the outcome and share of each act of some windows."""
    return [
        (
            window.start_us // S,
            window.revision,
            [(action.outcome, round(action.overlap, 6)) for action in window.actions],
        )
        for window in windows
    ]


def test_an_act_is_on_each_window_that_it_overlaps_with_its_share_of_it() -> None:
    feed = Feed()
    feed.act(BEGUN, stamped_s=3)
    feed.act(ENDED, stamped_s=11)
    feed.promise(17)
    assert carried(feed.promise(50)) == [
        (0, 1, [("done", 0.4)]),
        (5, 1, [("done", 1.0)]),
        (10, 1, [("done", 0.2)]),
    ]


def test_a_window_says_who_wanted_it_and_why_from_where_to_where_what_it_cost_and_what_was_lost() -> None:
    feed = Feed()
    feed.act(ENDED, stamped_s=11)
    feed.promise(17)
    window = feed.promise(50)[0].labelled_window()
    (action,) = window.actions
    assert (action.what, action.origin, action.decided_by, action.why) == (
        *("move", "rule", "follow-demand", "cpu-% 12 >= 0"),
    )
    assert (action.from_host, action.from_region, action.to_host, action.to_region) == (
        *("berlin", "Europe", "tokyo", "Asia"),
    )
    assert (action.begun_us, action.serving_us, action.ended_us) == (3 * S, 5 * S, 11 * S)
    assert (action.cost_host_s, action.requests_lost) == (8.0, 0)
    assert decode_as(LabelledWindow, encode(window)).actions == window.actions


def test_acts_are_no_anomaly_and_no_algorithm_sees_them() -> None:
    feed = Feed()
    feed.act(ENDED, stamped_s=11)
    first = feed.promise(17)
    assert [window.actions for window in first] == [(), (), ()], (
        "revision 0 does not wait for what is told later"
    )
    found = feed.promise(50)
    assert {window.truth.truth for window in found} == {"normal"}
    assert not any(window.features_changed for window in found)
    assert not hasattr(found[0].feature_window(), "actions")


def test_revision_0_does_not_wait_for_managers_and_the_final_cut_does() -> None:
    feed = Feed()
    assert len(feed.promise(17, *WAITED_FOR)) == 3
    feed.promise(50, *WAITED_FOR, FAULT_EFFECTS)
    assert feed.windower.final_us("run") < 5 * S
    feed.promise(34.9, SERVICE_ACTIONS)
    assert feed.windower.final_us("run") < 5 * S
    feed.promise(35, SERVICE_ACTIONS)
    assert feed.windower.final_us("run") == 5 * S


def test_in_a_run_without_a_manager_no_window_waits_and_nobody_may_tell_of_acts() -> None:
    feed = Feed(WAITED_FOR)
    feed.promise(17)
    feed.promise(50)
    assert feed.windower.final_us("run") == 20 * S
    with pytest.raises(InvalidMessage, match="no declared writer of service-actions"):
        feed.act(BEGUN, stamped_s=50)


def test_an_act_that_goes_on_is_on_its_windows_to_their_end_and_their_revision_says_when_it_ended() -> None:
    feed = Feed()
    feed.act(BEGUN, stamped_s=3)
    feed.promise(17)
    assert carried(feed.promise(45)) == [
        (0, 1, [("open", 0.4)]),
        (5, 1, [("open", 1.0)]),
        (10, 1, [("open", 1.0)]),
    ]
    assert feed.windower.final_us("run") == 5 * S - 1, "kept until it is over"
    feed.act(replace(ENDED, ended_us=7 * S), stamped_s=50)
    assert carried(feed.promise(75)) == [(0, 2, [("done", 0.4)]), (5, 2, [("done", 0.4)]), (10, 2, [])]
    assert feed.windower.final_us("run") == 45 * S


def test_an_act_that_is_told_late_is_a_numbered_revision_by_its_stamp_and_not_by_arrival() -> None:
    feed = Feed()
    feed.promise(17)
    feed.promise(34, *WAITED_FOR, FAULT_EFFECTS)
    feed.act(ENDED, stamped_s=34.9)
    assert carried(feed.promise(35)) == [(0, 1, [("done", 0.4)])]
    late = Feed()
    late.promise(17)
    late.promise(34, *WAITED_FOR, FAULT_EFFECTS)
    late.act(ENDED, stamped_s=35)
    assert late.promise(35) == [], "too late for the first window"
    assert carried(late.promise(45)) == [(5, 1, [("done", 1.0)]), (10, 1, [("done", 0.2)])]


def test_a_window_waits_so_many_cuts_for_an_act_that_never_ends() -> None:
    feed = Feed()
    feed.act(BEGUN, stamped_s=3)
    feed.promise(17)
    feed.promise(5 + MOST_CUTS * 30 - 1)
    assert feed.windower.final_us("run") == 5 * S - 1
    feed.promise(20 + MOST_CUTS * 30)
    assert feed.windower.final_us("run") > 15 * S


def test_an_act_that_was_decided_and_never_begun_is_on_no_window() -> None:
    feed = Feed()
    feed.act(replace(BEGUN, begun_us=None), stamped_s=3)
    feed.act(replace(BEGUN, begun_us=None, version=2, ended_us=6 * S, is_final=True), stamped_s=6)
    feed.promise(17)
    assert feed.promise(50) == []


def test_an_act_of_another_run_says_nothing_here() -> None:
    feed = Feed()
    feed.act(replace(ENDED, run_id="another"), stamped_s=11)
    feed.promise(17)
    assert feed.promise(50) == []


def test_several_acts_are_sorted_by_their_decisions_and_those_of_others_are_not_among_them() -> None:
    feed = Feed()
    feed.act(replace(ENDED, decision_id="stop-2"), stamped_s=11)
    feed.act(ENDED, stamped_s=11)
    feed.act(replace(ENDED, service="front", decision_id="launch-0"), stamped_s=11)
    feed.promise(17)
    assert [each.decision_id for each in feed.promise(35)[0].actions] == ["migrate-1", "stop-2"]


def test_the_same_version_twice_counts_from_its_earliest_promise() -> None:
    acts = ActionVersions()
    acts.add(ENDED, Passed(0, 0))
    acts.add(ENDED, Passed(40 * S, 40 * S))
    found, is_settled = acts.of_window("cart", Span(0, 5 * S), Cut(5 * S, 1))
    assert (len(found), is_settled) == (1, True)


def test_what_was_told_is_needed_until_all_windows_that_knew_it_otherwise_are_final() -> None:
    acts = ActionVersions()
    acts.add(BEGUN, Passed(0, 0))
    assert acts.ends_us("cart", "migrate-1") == FOREVER
    acts.add(ENDED, Passed(60 * S, 60 * S))
    assert acts.ends_us("cart", "migrate-1") == 60 * S
    acts.forget(60 * S)
    assert acts.ends_us("cart", "migrate-1") == 60 * S
    acts.forget(60 * S + 1)
    assert acts.ends_us("cart", "migrate-1") == UNKNOWN
    assert acts.of_window("cart", Span(0, 5 * S), Cut(5 * S, 1)) == ((), True)


def test_an_act_has_a_span_from_its_beginning_to_its_end() -> None:
    assert span_of(BEGUN) == Span(3 * S, FOREVER)
    assert span_of(ENDED) == Span(3 * S, 11 * S)
    assert span_of(replace(BEGUN, begun_us=None)).length_us == 0


def test_windows_that_were_written_before_there_were_acts_have_none() -> None:
    (window,) = examples()["labelled_window", 2].values()
    assert isinstance(window, LabelledWindow)
    assert window.actions == ()
    assert window.labels != ()
