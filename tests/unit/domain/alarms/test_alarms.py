from __future__ import annotations

import math

from microservo.domain.alarms import Alarm, AlarmKeeper, Case, CaseKeeper


def judged(scores: list[float], threshold: float = 1.0) -> list[Alarm]:
    keeper = AlarmKeeper()
    changes = [keeper.judge("cart", at * 5, score, threshold) for at, score in enumerate(scores, start=1)]
    return [change for change in changes if change is not None]


def test_an_alarm_opens_at_the_end_of_the_first_window_above_and_closes_after_two_below() -> None:
    opened, closed = judged([0.5, 2.0, 3.0, 0.5, 0.5, 0.5])
    assert (opened.opened_us, opened.closed_us, opened.score) == (10, None, 2.0)
    assert (closed.opened_us, closed.closed_us, closed.peak) == (10, 25, 3.0)


def test_one_quiet_window_closes_nothing() -> None:
    (opened,) = judged([2.0, 0.5, 2.0, 0.5, 2.0])
    assert opened.opened_us == 5


def test_a_score_at_the_threshold_is_no_alarm() -> None:
    assert judged([1.0, 1.0]) == []


def test_an_algorithm_that_is_not_ready_changes_nothing() -> None:
    assert [alarm.closed_us for alarm in judged([2.0, math.nan, math.nan, math.nan])] == [None]


def test_services_have_alarms_of_their_own() -> None:
    keeper = AlarmKeeper()
    assert keeper.judge("cart", 5, 2.0, 1.0) is not None
    assert keeper.judge("ads", 5, 2.0, 1.0) is not None
    assert keeper.open_services == {"cart", "ads"}


def test_alarms_at_several_services_are_one_case_until_all_are_closed() -> None:
    keeper = CaseKeeper("n-sigma")

    def alarm(service: str, opened_us: int, closed_us: int | None = None) -> Alarm:
        return Alarm(
            service=service, opened_us=opened_us, closed_us=closed_us, score=2.0, threshold=1.0, peak=2.0
        )

    first = keeper.take(alarm("cart", 10))
    assert first == Case(algorithm="n-sigma", opened_us=10, service="cart")
    assert keeper.take(alarm("frontend", 15)) is None
    assert keeper.take(alarm("cart", 10, 20)) is None
    assert keeper.take(alarm("ads", 25)) is None
    assert keeper.take(alarm("frontend", 15, 30)) is None
    assert keeper.take(alarm("ads", 25, 30)) is None
    second = keeper.take(alarm("cart", 40))
    assert second is not None
    assert second.case_id == "n-sigma-40"
