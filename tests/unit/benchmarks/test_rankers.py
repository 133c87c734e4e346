from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import rankers
from benchmarks.ranker_cases import JudgedCase
from benchmarks.rankers import Judged, held_out, mcnemar, need_not_show_in_a_metric, windows_since_alarm
from microservo.algorithms import Case

NOTHING = Case(alarm_us=1, start_us=np.array([0, 1], np.int64), features={}, graph=())


def case(kind: str, cause: str = "cart", recording: str = "run-1") -> JudgedCase:
    return JudgedCase(recording=recording, kind=kind, cause=cause, shown=NOTHING)


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (1, 8, 2 * (1 + 9) / 512)]
)
def test_an_uneven_split_is_unlikely_by_chance(one: int, other: int, expected: float) -> None:
    assert mcnemar(one, other) == pytest.approx(expected)


def test_who_alone_is_right_is_counted_against_baro() -> None:
    found = Judged(
        [case("cpu-hog"), case("http-abort"), case("http-abort", "ads")],
        {"baro": [("cart",), ("ads",), ("ads",)], "multi-signal": [("cart",), ("cart",), ("cart", "ads")]},
    )
    assert found.duel("multi-signal", "all", [0, 1, 2]).endswith(
        "multi-signal alone has the cause first in 1, BARO alone in 1 of 3, p = 1"
    )
    first, third = found.figures("all", [0, 1, 2])
    assert (first.value, first.peer_value) == (0.6667, 0.6667)
    assert (third.value, third.peer_value) == (1.0, 0.6667)


def test_weights_are_chosen_on_all_parts_but_the_one_that_they_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    class Played:
        """Right by the weights that suit its kind alone."""

        def __init__(self, kind: str) -> None:
            self.case = case(kind)

        def ranks(self, weights: dict[str, str]) -> tuple[str, ...]:
            return ("cart",) if weights.get("suits") == self.case.kind else ("ads",)

    monkeypatch.setattr(rankers, "_weights", lambda: [{}, {"suits": "cpu-hog"}, {"suits": "http-abort"}])
    prepared = [Played("cpu-hog"), Played("http-abort")]
    found = held_out(prepared, lambda each: each.kind)  # type: ignore[arg-type]
    assert found == [("ads",), ("ads",)]


def test_metrics_can_fail_where_a_kind_promises_nothing_of_them() -> None:
    assert all(map(need_not_show_in_a_metric, ("app-exception", "dns-failure", "wrong-answer")))
    assert not any(map(need_not_show_in_a_metric, ("cpu-hog", "process-kill", "connection-reset")))


def test_windows_since_an_alarm_are_counted_with_that_in_which_it_began() -> None:
    shown = Case(alarm_us=2, start_us=np.array([0, 1, 2, 3], np.int64), features={}, graph=())
    assert windows_since_alarm(replace(case("cpu-hog"), shown=shown)) == 2
