"""How late a source's telemetry comes is learned from what it usually does, not from what happens once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from services.telemetry_collector.delays import Delays

S = 1_000_000
START_S = 1_000


def observed(
    delays: Delays, ages_s: Iterator[tuple[int, list[float]]], signal: str = "traces"
) -> list[float]:
    """The delay of jshop after each second, in seconds, where records of some ages arrive in it."""
    found = []
    for second, ages in ages_s:
        now_us = (START_S + second) * S
        if ages:
            time_us = now_us - np.array([round(age * S) for age in ages], np.int64)
            delays.observe("jshop", signal, time_us, now_us)  # type: ignore[arg-type]
        found.append(delays.delay_us("jshop", now_us) / S)
    return found


def steady(first_s: int, end_s: int) -> Iterator[tuple[int, list[float]]]:
    """A record each 10 ms that arrives at once."""
    for second in range(first_s, end_s):
        yield second, [0.3 + 0.01 * number for number in range(100)]


def gathering(first_s: int, end_s: int, *, every_s: int = 5) -> Iterator[tuple[int, list[float]]]:
    """A record each 10 ms that an SDK gathers for some seconds; on the way for 0.2 s."""
    for second in range(first_s, end_s):
        yield second, [0.2 + 0.01 * n for n in range(100 * every_s)] if second % every_s == 0 else []


@pytest.fixture
def delays() -> Delays:
    return Delays(2 * S, {})


def test_an_sdk_that_gathers_for_five_seconds_is_known_within_thirty(delays: Delays) -> None:
    found = observed(delays, gathering(0, 120))
    assert set(found[30:]) == {4.0}, "records are up to 5.2 s old, a margin of 0.5 s, less the cut of 2 s"


def test_a_source_within_the_first_cut_is_not_waited_for(delays: Delays) -> None:
    assert set(observed(delays, steady(0, 200))) == {0.0}


def test_a_slow_start_is_not_how_a_source_is(delays: Delays) -> None:
    slow = [(second, [4.0] * 50) for second in range(8)]
    assert set(observed(delays, iter([*slow, *steady(8, 200)]))) == {0.0}


def test_a_pause_and_what_comes_after_it_changes_nothing(delays: Delays) -> None:
    before = observed(delays, steady(0, 60))
    after = observed(delays, iter([(90, [float(age) for age in range(30)] * 3), *steady(91, 400)]))
    assert {*before, *after} == {0.0}


def test_a_source_that_stays_slower_is_waited_for_after_two_minutes(delays: Delays) -> None:
    observed(delays, steady(0, 100))
    found = observed(delays, gathering(100, 400, every_s=10))
    assert found[40] == 0.0
    assert set(found[190:]) == {9.0}


def test_one_that_stays_much_faster_is_waited_for_less_after_five(delays: Delays) -> None:
    observed(delays, gathering(0, 120))
    found = observed(delays, steady(120, 600))
    assert (found[200], found[-1]) == (4.0, 0.0)


def test_the_slowest_signal_of_a_service_counts(delays: Delays) -> None:
    """Of thousands of spans that come at once, and a few lines that come late."""
    for second in range(60):
        observed(delays, steady(second, second + 1))
        if second % 10 == 0:
            observed(delays, iter([(second, [8.0, 4.0, 2.0])]), "logs")
    assert delays.delay_us("jshop", (START_S + 60) * S) == 7 * S


def test_nothing_is_waited_for_longer_than_a_minute(delays: Delays) -> None:
    found = observed(delays, gathering(0, 1000, every_s=200))
    assert 55.0 < max(found) <= 60.0
    assert Delays(2 * S, {"jshop": 100 * S}).delay_us("jshop", 0) == 60 * S


def test_a_delay_that_was_declared_is_not_learned() -> None:
    delays = Delays(2 * S, {"jshop": 5 * S})
    assert set(observed(delays, gathering(0, 100, every_s=20))) == {5.0}


def test_what_an_earlier_process_learned_holds_until_this_one_knows(delays: Delays) -> None:
    delays.restore("jshop", 9 * S)
    found = observed(delays, gathering(0, 120))
    assert (set(found[:30]), found[-1]) == ({9.0}, 4.0)
    delays.forget("jshop")
    assert delays.delay_us("jshop", (START_S + 200) * S) == 0
