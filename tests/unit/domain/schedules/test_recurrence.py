"""When schedules' faults begin, and what changes of the clock do to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.schedules import Occurrence, Recurrence, cron, daily, occurrences, once, weekly
from microservo.errors import InvalidInput


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def utc(found: Occurrence) -> str:
    return datetime.fromtimestamp(found.at_us / 1e6, UTC).strftime("%m-%d %H:%M")


def first(recurrence: Recurrence, after: str, count: int) -> list[Occurrence]:
    return list(islice(occurrences(recurrence, us(after)), count))


def test_a_daily_fault_keeps_its_time_of_day_in_its_zone_over_both_changes_of_the_clock() -> None:
    spring = first(daily("12:00", "Europe/Berlin"), "2027-03-26T12:00Z", 3)
    assert [utc(each) for each in spring] == ["03-27 11:00", "03-28 10:00", "03-29 10:00"]
    assert [each.note for each in spring] == ["", "the clock has changed from +01:00 to +02:00", ""]
    autumn = first(daily("12:00", "Europe/Berlin"), "2027-10-29T12:00Z", 3)
    assert [utc(each) for each in autumn] == ["10-30 10:00", "10-31 11:00", "11-01 11:00"]
    assert [each.note for each in autumn] == ["", "the clock has changed from +02:00 to +01:00", ""]


def test_a_time_of_day_that_does_not_exist_is_moved_to_the_first_minute_that_does_and_that_is_told() -> None:
    (moved,) = first(daily("02:30", "Europe/Berlin"), "2027-03-27T12:00Z", 1)
    assert utc(moved) == "03-28 01:00"
    assert moved.local.isoformat() == "2027-03-28T03:00:00+02:00"
    assert moved.note == "the clock goes forward over its time of day, so it begins at 03:00"


def test_a_time_of_day_that_comes_twice_counts_the_first_time_and_that_is_told() -> None:
    found = first(daily("02:30", "Europe/Berlin"), "2027-10-30T12:00Z", 2)
    assert [utc(each) for each in found] == ["10-31 00:30", "11-01 01:30"]
    assert found[0].note == "the clock goes back and 02:30 comes twice; this is the first"


@pytest.mark.parametrize("after", ["2027-10-31T00:40Z", "2027-10-31T01:10Z", "2027-10-31T01:40Z"])
def test_whoever_asks_within_the_hour_that_comes_twice_gets_nothing_of_the_past(after: str) -> None:
    found = first(cron("0,30,50 2 * * *", "Europe/Berlin"), after, 1)
    assert utc(found[0]) == ("10-31 00:50" if after.endswith("00:40Z") else "11-01 01:00")


def test_two_times_that_the_clock_goes_over_are_one() -> None:
    found = first(cron("0,30 2 * * *", "Europe/Berlin"), "2027-03-27T12:00Z", 2)
    assert [utc(each) for each in found] == ["03-28 01:00", "03-29 00:00"]


def test_every_quarter_of_an_hour_is_real_time_whatever_the_clock_does() -> None:
    for day in ("2027-03-27T23:00Z", "2027-10-30T23:00Z"):
        found = first(cron("*/15 * * * *", "Europe/Berlin"), day, 20)
        assert {b.at_us - a.at_us for a, b in pairwise(found)} == {15 * 60 * 1_000_000}
    assert found[3].note == "the clock goes back and 02:00 comes twice; this is the first"
    assert found[7].note == "the clock goes back and 02:00 comes twice; this is the second"


def test_a_weekly_fault_is_on_the_day_of_its_zone() -> None:
    """Half past midnight on Monday in Berlin is Sunday in UTC."""
    found = first(weekly("mon 00:30", "Europe/Berlin"), "2026-02-01T12:00Z", 2)
    assert [utc(each) for each in found] == ["02-01 23:30", "02-08 23:30"]
    assert {each.local.strftime("%a") for each in found} == {"Mon"}


def test_once_is_at_a_whole_second_and_never_again() -> None:
    when = once(us("2026-01-31T12:00:00.25Z"))
    assert [each.at_us for each in occurrences(when, 0)] == [us("2026-01-31T12:00:01Z")]
    assert list(occurrences(when, us("2026-01-31T12:00:01Z"))) == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("* * * *", "has 4 fields; a cron expression has five"),
        ("0 0 2 * * *", "has 6 fields"),
        ("61 2 * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 0 * * MON-", "bad day-of-week"),
    ],
)
def test_what_is_no_cron_expression_is_refused(expression: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        cron(expression)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "a\0b"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput, match="there is no time zone"):
        daily("02:30", zone)


@pytest.mark.parametrize("text", ["24:00", "2", "02:60", "half past two", "-1:30"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no time of day"):
        daily(text)
    with pytest.raises(InvalidInput, match="no time of day"):
        weekly(f"mon {text}")


def test_what_is_no_day_of_the_week_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'noday 02:30' is no day and time of a week"):
        weekly("noday 02:30")


@given(
    expression=st.sampled_from(
        ["*/7 * * * *", "30 2 * * *", "5,35 1-3 * * *", "0 */2 * * SUN", "15 0 1 * *"]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)),  # noqa: DTZ001
    cut=st.integers(0, 15),
)
def test_whoever_stops_and_goes_on_anywhere_sees_every_time_once(
    expression: str, zone: str, start: datetime, cut: int
) -> None:
    after_us = round(start.replace(tzinfo=UTC).timestamp() * 1e6)
    whole = [each.at_us for each in islice(occurrences(cron(expression, zone), after_us), 16)]
    rest = islice(occurrences(cron(expression, zone), whole[cut]), 15 - cut)
    assert [*whole[: cut + 1], *(each.at_us for each in rest)] == whole
    assert all(a < b for a, b in pairwise([after_us, *whole]))
    gap = timedelta(microseconds=max(b - a for a, b in pairwise(whole)))
    assert gap <= timedelta(days=32)
