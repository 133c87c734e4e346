"""Schedules on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from microservo.testing import MemoryBroker
from schemas.records import ScheduledFault, ScheduleProgress

NOON_US = 1_800_000_000_000_000
"""2027-01-15 08:00:00Z, when all is asked for here."""
Run = Callable[..., Result]
DELAY = ("network-delay", "--target", "service=cart", "--param", "latency=300ms", "--duration", "20s")


def add(run: Run, *options: str) -> str:
    result = run("schedule", "add", *DELAY, *options)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def shown(run: Run, schedule_id: str = "nightly") -> dict[str, Any]:
    return dict(json.loads(run("schedule", "show", schedule_id, "--json").stdout))


def preview(run: Run, *options: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in run("schedule", "preview", "--json", *options).stdout.splitlines()]


def test_a_schedule_is_added_listed_shown_and_removed(run: Run) -> None:
    assert "no schedules yet" in run("schedule", "list").stdout
    assert add(run, "--daily", "02:30", "--zone", "Europe/Berlin", "--id", "nightly") == "nightly"
    listed = run("schedule", "list").stdout
    assert "daily at 02:30, Europe/Berlin" in listed
    assert "2027-01-16 01:30:00Z" in listed
    found = shown(run)
    assert (found["standing"], found["when"]) == ("active", "daily at 02:30, Europe/Berlin")
    assert found["schedule"]["cron"] == "30 2 * * *"
    assert found["schedule"]["parameters"] == {"latency": "300ms"}
    assert run("schedule", "remove", "nightly").exit_code == 0
    assert "no schedules yet" in run("schedule", "list").stdout


def test_a_schedule_keeps_how_many_instances_with_which_labels_its_faults_hit(run: Run) -> None:
    add(run, "--daily", "02:30", "--id", "nightly", "--mode", "50%", "--label", "track=canary")
    found = shown(run)["schedule"]
    assert (found["mode"], found["labels"]) == ("50%", {"track": "canary"})
    assert run("schedule", "edit", "nightly", "--mode", "one").exit_code == 0
    found = shown(run)["schedule"]
    assert (found["mode"], found["labels"]) == ("one", {"track": "canary"})
    refused = run("schedule", "add", *DELAY, "--mode", "half")
    assert refused.exit_code != 0
    assert "'half' is no mode" in refused.output


def test_the_coming_week_is_shown_over_all_schedules_and_a_change_of_the_clock_is_told(run: Run) -> None:
    add(run, "--daily", "02:30", "--zone", "Europe/Berlin", "--id", "nightly")
    add(run, "--weekly", "mon 12:00", "--id", "mondays")
    found = preview(run)
    assert len(found) == 8
    assert [each["fault_id"] for each in found][2:4] == [
        "nightly-20270118T013000Z",
        "mondays-20270118T120000Z",
    ]
    far = preview(run, "nightly", "--days", "80")
    (moved,) = [each for each in far if each["note"].startswith("the clock goes forward")]
    assert moved["local"] == "2027-03-28T03:00:00+02:00"
    assert "so it begins at" in run("schedule", "preview", "nightly", "--days", "80").stdout


def test_without_a_time_the_only_fault_begins_now_and_the_schedule_is_over_behind_it(
    run: Run, put: Callable[..., None]
) -> None:
    add(run, "--id", "nightly")
    found = shown(run)
    assert (found["next_at_us"], found["when"]) == (NOON_US, "once at 2027-01-15 08:00:00Z")
    done = ScheduledFault(fault_id="nightly-20270115T080000Z", at_us=NOON_US, outcome="requested")
    progress = ScheduleProgress(
        schedule_id="nightly", handled_until_us=NOON_US, requested=1, skipped=0, recent=(done,)
    )
    put("schedule-progress", "nightly", progress)
    assert shown(run)["standing"] == "over"
    assert "nightly-20270115T080000Z" in run("schedule", "show", "nightly").stdout
    assert preview(run) == []


def test_what_was_skipped_is_shown_with_the_reason(run: Run, put: Callable[..., None]) -> None:
    add(run, "--daily", "02:30", "--id", "nightly")
    missed = ScheduledFault(
        fault_id="nightly-20270115T023000Z",
        at_us=NOON_US,
        outcome="skipped",
        reason="no injector was running when it was due",
    )
    put(
        "schedule-progress",
        "nightly",
        ScheduleProgress(
            schedule_id="nightly", handled_until_us=NOON_US, requested=0, skipped=1, recent=(missed,)
        ),
    )
    assert "no injector was running when it was due" in run("schedule", "show", "nightly").stdout


def test_a_schedule_is_paused_resumed_and_edited_and_each_change_is_a_version(run: Run) -> None:
    add(run, "--daily", "02:30", "--id", "nightly")
    assert run("schedule", "pause", "nightly").exit_code == 0
    assert (shown(run)["standing"], shown(run)["next_at_us"]) == ("paused", None)
    assert preview(run) == []
    again = run("schedule", "pause", "nightly")
    assert again.exit_code == 2
    assert "schedule nightly is paused, so there is nothing to pause" in again.stderr
    assert run("schedule", "resume", "nightly").exit_code == 0
    edited = run(
        *("schedule", "edit", "nightly", "--cron", "*/20 * * * *", "--zone", "Asia/Kolkata"),
        *("--duration", "1min", "--target", "service=front"),
    )
    assert edited.exit_code == 0, edited.output
    found = shown(run)["schedule"]
    assert (found["version"], found["cron"], found["time_zone"]) == (4, "*/20 * * * *", "Asia/Kolkata")
    assert (found["duration_us"], found["service"]) == (60_000_000, "front")
    assert found["parameters"] == {"latency": "300ms"}
    assert len(preview(run, "--days", "1")) == 72
    assert run("schedule", "edit", "nightly", "--daily", "03:30").exit_code == 0
    assert shown(run)["schedule"]["time_zone"] == "Asia/Kolkata", "it keeps its zone where none is given"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--daily", "2:61"), "no time of day"),
        (("--daily", "02:30", "--cron", "* * * * *"), "2 times are given; give one of at, daily, weekly"),
        (("--daily", "02:30", "--zone", "Berlin"), "there is no time zone 'Berlin'"),
        (("--at", "2027-01-14T08:00:00Z"), "lies in the past"),
        (("--daily", "02:30", "--grace", "2min"), "give 50s at the most"),
        (("--id", "my schedule"), "can't be a schedule's id"),
    ],
)
def test_what_could_not_be_carried_out_is_refused_with_the_way_out(
    run: Run, options: tuple[str, ...], message: str
) -> None:
    result = run("schedule", "add", *DELAY, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "no schedules yet" in run("schedule", "list").stdout


def test_an_id_is_not_taken_twice_and_one_that_is_not_there_is_named(run: Run) -> None:
    add(run, "--daily", "02:30", "--id", "nightly")
    taken = run("schedule", "add", *DELAY, "--id", "nightly")
    assert (taken.exit_code, "there is a schedule 'nightly' already" in taken.stderr) == (2, True)
    for command in ("show", "pause", "resume", "edit", "remove", "preview"):
        result = run("schedule", command, "nigthly")
        assert result.exit_code == 2, command
        assert "there is no schedule 'nigthly'; there are: nightly" in result.stderr


@pytest.mark.parametrize(
    "given",
    [("--daily", "03:30"), ("--weekly", "mon 03:30"), ("--cron", "30 3 * * *")],
    ids=lambda each: each[0],
)
def test_another_time_is_meant_in_the_zone_that_the_schedule_has(run: Run, given: tuple[str, str]) -> None:
    add(run, "--daily", "02:30", "--zone", "Asia/Tokyo", "--id", "nightly")
    assert run("schedule", "edit", "nightly", *given).exit_code == 0
    assert shown(run)["schedule"]["time_zone"] == "Asia/Tokyo"
    assert run("schedule", "edit", "nightly", *given, "--zone", "UTC").exit_code == 0
    assert shown(run)["schedule"]["time_zone"] == "UTC"


def test_a_schedule_that_is_added_without_a_zone_is_in_utc(run: Run) -> None:
    add(run, "--daily", "02:30", "--id", "nightly")
    assert shown(run)["schedule"]["time_zone"] == "UTC"


def test_a_zone_without_a_time_is_refused(run: Run) -> None:
    add(run, "--daily", "02:30", "--id", "nightly")
    result = run("schedule", "edit", "nightly", "--zone", "Asia/Tokyo")
    assert result.exit_code == 2
    assert "--zone says what a time is meant in" in result.stderr


def test_the_client_adds_what_the_command_line_lists(run: Run, broker: MemoryBroker) -> None:
    from microservo.client.client import Client  # noqa: PLC0415  # only here

    client = Client(broker=broker, clock=lambda: NOON_US)
    added = client.schedules.add(
        "cpu-hog", service="front", weekly="mon,thu 02:30", duration="1min", parameters={"load": "50%"}
    )
    assert added.when == "weekly on mon,thu at 02:30, UTC"
    schedule_id = added.schedule.schedule_id
    assert schedule_id in run("schedule", "list").stdout
    assert client.schedules.edit(schedule_id, duration="2min").when == added.when
    assert client.schedules.edit(schedule_id, cron="0 12 * * *").when == "daily at 12:00, UTC"
    assert client.schedules.edit(schedule_id, weekly="mon,thu 02:30").schedule.duration_us == 120_000_000
    assert [each.occurrence.at_us for each in client.schedules.preview()] == [
        NOON_US + round((3 * 24 - 5.5) * 3600e6),
        NOON_US + round((6 * 24 - 5.5) * 3600e6),
    ]
