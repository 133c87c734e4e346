"""A metric that comes each minute has its value in every window."""

from __future__ import annotations

import numpy as np

from microservo.domain.rows import MetricRows, coded
from services.telemetry_collector.last_points import LastPoints

S = 1_000_000
START_US = 1_767_225_600 * S


def rows(at_s: float, value: float = 1.0, name: str = "heap", interval_s: float = 0) -> MetricRows:
    return MetricRows(
        service="shop",
        instance="shop-0",
        time_us=np.array([START_US + round(at_s * S)]),
        name=coded([name]),
        value=np.array([value]),
        interval_us=np.array([round(interval_s * S)]),
    )


def due(points: LastPoints, now_s: float) -> list[tuple[str, float, float]]:
    """Name, value and age of what is repeated at an instant."""
    found = []
    for each in points.due(START_US + round(now_s * S)):
        assert each.age_us is not None
        assert set(each.time_us.tolist()) == {START_US + round(now_s * S)}
        found += list(zip(each.name.names, each.value.tolist(), (each.age_us / S).tolist(), strict=True))
    return found


def test_a_series_that_comes_each_minute_is_repeated_once_a_window() -> None:
    points = LastPoints(5 * S)
    points.add(rows(0, 3.0))
    points.add(rows(60, 4.0))
    assert due(points, 61) == [("heap", 4.0, 1.0)]
    assert due(points, 62) == []
    assert due(points, 66) == [("heap", 4.0, 6.0)]


def test_the_newest_point_is_repeated_whatever_order_points_come_in() -> None:
    points = LastPoints(5 * S)
    for at_s, value in ((60, 2.0), (0, 1.0), (120, 3.0), (120, 3.5)):
        points.add(rows(at_s, value))
    assert due(points, 121) == [("heap", 3.0, 1.0)]
    points.add(rows(90, 2.5))
    assert due(points, 126) == [("heap", 3.0, 6.0)]


def test_points_of_more_bodies_than_are_gathered_at_once_are_all_known() -> None:
    points = LastPoints(5 * S)
    for number in range(200):
        points.add(rows(60 * (number % 2), float(number), f"heap-{number // 2}"))
    assert len(due(points, 61)) == 100


def test_a_series_that_comes_in_every_window_is_not_repeated_also_when_it_stops() -> None:
    points = LastPoints(5 * S)
    for second in range(10):
        points.add(rows(second))
    assert due(points, 10) == []
    assert due(points, 30) == []


def test_a_series_of_one_point_is_repeated_once_it_has_missed_a_window() -> None:
    points = LastPoints(5 * S)
    points.add(rows(0))
    assert due(points, 5) == []
    assert due(points, 10) == [("heap", 1.0, 10.0)]


def test_a_rate_over_a_minute_is_known_to_come_seldom_from_its_first_point() -> None:
    points = LastPoints(5 * S)
    points.add(rows(0, 2.5, "hits.rate", interval_s=60))
    (found,) = points.due(START_US + 5 * S)
    assert found.interval_us is not None
    assert (found.value.tolist(), found.interval_us.tolist()) == ([2.5], [60 * S])


def test_a_series_that_has_ended_is_not_repeated_for_ever() -> None:
    points = LastPoints(5 * S)
    points.add(rows(0))
    points.add(rows(60))
    assert len(due(points, 60 + 299)) == 1
    assert due(points, 60 + 306) == []
