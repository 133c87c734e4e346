"""Late records of some signals change what a window shows of these signals, and nothing else."""

from __future__ import annotations

from microservo.domain.rendered import NOTHING_CAME, Rendered
from microservo.domain.telemetry import SIGNALS, Signal

ON_TIME = Rendered(
    distinct={"metrics": 3, "logs": 2, "traces": 1},
    as_it_came={"metrics": 2, "logs": 2, "traces": 1},
    features={
        "call/cart/count": 1.0,
        "log/severity/info": 2.0,
        "metric/cpu/max": 0.5,
        "request/*/count": 1.0,
    },
)
WITH_LATE = Rendered(
    distinct={"metrics": 0, "logs": 0, "traces": 4},
    as_it_came={"metrics": 0, "logs": 0, "traces": 4},
    features={"consume/orders/count": 1.0, "internal/parse/count": 2.0, "request/*/count": 1.0},
)


def test_late_spans_replace_all_features_of_spans_and_leave_the_others() -> None:
    found = ON_TIME.updated(WITH_LATE, ["traces"])
    assert found.features == {
        "consume/orders/count": 1.0,
        "internal/parse/count": 2.0,
        "log/severity/info": 2.0,
        "metric/cpu/max": 0.5,
        "request/*/count": 1.0,
    }
    assert found.distinct == {"metrics": 3, "logs": 2, "traces": 4}
    assert found.as_it_came == {"metrics": 2, "logs": 2, "traces": 4}


def test_features_stay_sorted_by_name() -> None:
    names = list(ON_TIME.updated(WITH_LATE, ["traces"]).features)
    assert names == sorted(names)


def test_a_window_of_which_all_came_late_shows_what_came() -> None:
    assert NOTHING_CAME.updated(ON_TIME, SIGNALS) == ON_TIME


def test_nothing_late_changes_nothing() -> None:
    nothing: list[Signal] = []
    assert ON_TIME.updated(NOTHING_CAME, nothing) is ON_TIME
