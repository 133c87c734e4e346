"""What is done about a schedule, and when: nothing is lost or doubled, and what was missed is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.schedules import (
    LEAD_US,
    MOST_GRACE_US,
    MOST_RECENT,
    check_schedule,
    describe_when,
    due,
    next_occurrences,
)
from microservo.errors import InvalidInput
from schemas.records import FaultSchedule, ScheduleProgress

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


NOON_US = us("2026-01-31T12:00Z")


def schedule(**changes: Any) -> FaultSchedule:
    given: dict[str, Any] = {
        "schedule_id": "often",
        "version": 1,
        "state": "active",
        "kind": "network-delay",
        "service": "cart",
        "parameters": {"latency": "300ms"},
        "duration_us": 20 * SECOND_US,
        "cron": "* * * * *",
        "grace_us": 30 * SECOND_US,
        "valid_from_us": NOON_US + SECOND_US,
        "created_at_us": NOON_US,
        **changes,
    }
    return FaultSchedule(**given)


def test_a_fault_is_requested_a_second_before_it_begins_and_not_earlier() -> None:
    first_us = NOON_US + MINUTE_US
    early = due(schedule(), None, first_us - LEAD_US - 1)
    assert (early.requests, early.progress, early.next_us) == ((), None, first_us - LEAD_US)
    found = due(schedule(), None, first_us - LEAD_US)
    (request,) = found.requests
    assert request.fault_id == "often-20260131T120100Z"
    assert (request.start_at_us, request.requested_at_us) == (first_us, first_us - LEAD_US)
    assert (request.kind, request.service, request.duration_us) == ("network-delay", "cart", 20 * SECOND_US)
    assert found.progress is not None
    assert (found.progress.requested, found.progress.skipped) == (1, 0)
    assert found.next_us == first_us + MINUTE_US - LEAD_US


def test_a_fault_of_a_schedule_hits_what_its_schedule_says() -> None:
    some = schedule(mode="one", labels={"track": "canary"}, instances=("cart-0",))
    (request,) = due(some, None, NOON_US + MINUTE_US).requests
    assert (request.mode, request.labels, request.instances) == ("one", {"track": "canary"}, ("cart-0",))
    with pytest.raises(InvalidInput, match="'half' is no mode"):
        check_schedule(schedule(mode="half"))
    pods = {"cart": ["cart-0", "cart-1"]}
    with pytest.raises(InvalidInput, match="no instance of cart has the labels track=canary"):
        check_schedule(some, pods, labels={"cart-0": {"track": "stable"}})


def test_what_was_done_is_not_done_again_and_what_was_not_recorded_is_asked_for_in_the_same_bytes() -> None:
    now_us = NOON_US + MINUTE_US
    found = due(schedule(), None, now_us)
    assert due(schedule(), found.progress, now_us).requests == ()
    assert due(schedule(), None, now_us + 5 * SECOND_US).requests == found.requests


def test_faults_that_were_missed_are_skipped_and_recorded() -> None:
    """Nobody was there from 12:00:30 to 12:04:10: three are too late, the fourth may be so late."""
    found = due(schedule(), None, NOON_US + 4 * MINUTE_US + 10 * SECOND_US)
    assert [each.fault_id[-7:] for each in found.requests] == ["120400Z"]
    assert found.progress is not None
    assert (found.progress.requested, found.progress.skipped) == (1, 3)
    outcomes = [(each.outcome, each.reason) for each in found.progress.recent]
    missed = ("skipped", "no injector was running when it was due")
    assert outcomes == [missed, missed, missed, ("requested", "")]


def test_a_month_of_missed_faults_is_gone_through_in_steps_and_the_newest_are_kept() -> None:
    progress, now_us, steps = None, NOON_US + 1000 * MINUTE_US, 0
    while (found := due(schedule(), progress, now_us)).progress is not None:
        progress, steps = found.progress, steps + 1
    assert steps == 10
    assert progress is not None
    assert progress.skipped + progress.requested == 1000
    assert len(progress.recent) == MOST_RECENT
    assert progress.recent[-1].at_us == now_us


def test_a_paused_schedule_does_nothing_and_what_passed_meanwhile_never_existed() -> None:
    assert due(schedule(state="paused"), None, NOON_US + 10 * MINUTE_US).next_us is None
    resumed = schedule(version=3, valid_from_us=NOON_US + 10 * MINUTE_US + SECOND_US)
    before = ScheduleProgress(
        schedule_id="often", handled_until_us=NOON_US + 2 * MINUTE_US, requested=2, skipped=0
    )
    found = due(resumed, before, NOON_US + 11 * MINUTE_US)
    assert [each.fault_id[-7:] for each in found.requests] == ["121100Z"]
    assert found.progress is not None
    assert (found.progress.requested, found.progress.skipped) == (3, 0)


def test_an_edit_in_the_second_before_a_fault_does_not_ask_for_it_twice() -> None:
    first_us = NOON_US + MINUTE_US
    found = due(schedule(), None, first_us - LEAD_US)
    edited = schedule(version=2, valid_from_us=first_us - 1, parameters={"latency": "1s"})
    assert due(edited, found.progress, first_us).requests == ()


def test_a_fault_at_a_time_begins_once_and_then_never() -> None:
    once = schedule(cron="", at_us=NOON_US + MINUTE_US)
    found = due(once, None, NOON_US + MINUTE_US)
    assert len(found.requests) == 1
    assert found.next_us is None
    assert due(once, found.progress, NOON_US + 10 * MINUTE_US) == due(once, found.progress, NOON_US)


@given(wakes=st.lists(st.integers(0, 40 * 60), min_size=1, max_size=30), crashes=st.sets(st.integers(0, 30)))
def test_whenever_somebody_looks_and_crashes_each_fault_is_requested_or_skipped_once(
    wakes: list[int], crashes: set[int]
) -> None:
    """A crash is after the request and before the record of it, as the order of writing has it."""
    progress: ScheduleProgress | None = None
    requested: dict[str, bytes] = {}
    times = sorted(wakes)
    for number, wake in enumerate(times):
        found = due(schedule(), progress, NOON_US + wake * SECOND_US)
        for request in found.requests:
            assert requested.setdefault(request.fault_id, repr(request).encode()) == repr(request).encode()
        if number not in crashes and found.progress is not None:
            progress = found.progress
    end_us = NOON_US + times[-1] * SECOND_US
    final = due(schedule(), progress, end_us).progress or progress
    expected = [each.at_us for each in next_occurrences(schedule(), 0, end_us + LEAD_US)]
    counted = 0 if final is None else final.requested + final.skipped
    assert counted == len(expected)
    assert len(requested) >= (0 if final is None else final.requested)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule_id": "a b"}, "can't be a schedule's id"),
        ({"schedule_id": "x" * 41}, "take 1 to 40 letters"),
        ({"kind": "network-dealy"}, "did you mean 'network-delay'"),
        ({"duration_us": 0}, "give more than zero"),
        ({"grace_us": MOST_GRACE_US + 1}, "give 50s at the most"),
        ({"cron": "", "at_us": NOON_US - MINUTE_US}, "2026-01-31 11:59:00Z lies in the past"),
        ({"time_zone": "Berlin"}, "there is no time zone 'Berlin'"),
        ({"service": ""}, "name a service"),
    ],
)
def test_a_schedule_whose_faults_could_not_be_carried_out_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    check_schedule(schedule())
    with pytest.raises(InvalidInput, match=message):
        check_schedule(schedule(**changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cron": "30 2 * * *", "time_zone": "Europe/Berlin"}, "daily at 02:30, Europe/Berlin"),
        ({"cron": "5 14 * * MON,THU"}, "weekly on mon,thu at 14:05, UTC"),
        ({"cron": "*/5 * * * *"}, "cron */5 * * * *, UTC"),
        ({"cron": "", "at_us": NOON_US}, "once at 2026-01-31 12:00:00Z"),
    ],
)
def test_when_a_schedule_is_due_is_told_in_words(changes: dict[str, Any], expected: str) -> None:
    assert describe_when(schedule(**changes)) == expected


def test_a_schedule_that_was_changed_begins_with_its_change() -> None:
    later = replace(schedule(), valid_from_us=NOON_US + 5 * MINUTE_US)
    (first,) = islice(next_occurrences(later, NOON_US), 1)
    assert first.at_us == NOON_US + 5 * MINUTE_US
