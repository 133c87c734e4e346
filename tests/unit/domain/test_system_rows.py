from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.system_rows import SETTLES_WINDOWS, SystemRows
from schemas.records import FeatureWindow, GoneService

S = 1_000_000
SIZE_US = 5 * S


def window(service: str, number: int) -> FeatureWindow:
    return FeatureWindow(
        run_id="run-1",
        service=service,
        start_us=number * SIZE_US,
        end_us=(number + 1) * SIZE_US,
        revision=0,
        names=("load",),
        values=(float(number),),
    )


def test_an_instant_is_complete_when_the_windows_of_all_known_services_are_there() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in range(1, 12):
        rows.add(window("cart", number), 0)
        rows.add(window("ads", number), 1)
    assert rows.complete_us == 12 * SIZE_US
    rows.add(window("cart", 12), 0)
    assert rows.complete_us == 12 * SIZE_US
    rows.add(window("ads", 12), 1)
    assert rows.complete_us == 13 * SIZE_US
    ((start_us, row),) = rows.rows(12 * SIZE_US, rows.complete_us)
    assert start_us == 12 * SIZE_US
    assert set(row) == {"cart", "ads"}


def test_a_service_is_in_no_row_before_others_can_have_waited_for_it() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    first = {"cart": 1, "new": 3}
    for number in range(1, 14):
        for service, begin in first.items():
            if number >= begin:
                rows.add(window(service, number), 0)
    assert min(rows_of(rows)) == 1 + SETTLES_WINDOWS
    assert [number for number, row in rows_of(rows).items() if "new" in row] == [11, 12, 13]


def test_a_service_that_sends_late_is_waited_for_as_long_as_it_was_late_before() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in range(1, 20):
        rows.add(window("cart", number), 0)
        if number > 8:
            assert rows.complete_us == (number - 3) * SIZE_US
        if number > 3:
            rows.add(window("slow", number - 3), 0)
    assert rows_of(rows)[14] == ["cart", "slow"]


def test_one_that_has_a_window_now_and_then_is_waited_for_only_when_one_is_due() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in range(1, 20):
        rows.add(window("cart", number), 0)
        if number % 3 == 0:
            rows.add(window("scraped", number), 0)
        if number > 9:
            assert rows.complete_us == (number + 1) * SIZE_US
    found = rows_of(rows)
    assert [found[number] for number in (12, 13, 15)] == [["cart", "scraped"], ["cart"], ["cart", "scraped"]]


def test_a_window_that_comes_when_nobody_waits_for_it_any_more_is_in_no_row() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in range(1, 13):
        rows.add(window("cart", number), 0)
        rows.add(window("stuck", number), 0)
    for number in range(13, 17):
        rows.add(window("cart", number), 0)
    before = rows_of(rows)
    assert rows.add(window("stuck", 13), 0)
    assert rows_of(rows) == before
    assert before[12] == ["cart", "stuck"]


def test_a_service_that_is_gone_is_waited_for_until_its_partition_goes_on() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in (1, 2):
        rows.add(window("cart", number), 0)
        rows.add(window("gone", number), 0)
    rows.add(window("cart", 3), 0)
    assert rows.complete_us == 3 * SIZE_US
    rows.add(window("cart", 4), 0)
    assert rows.complete_us >= 4 * SIZE_US


def test_a_partition_whose_only_service_is_gone_is_waited_for_as_long_as_rows_are_kept() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in range(1, 4):
        rows.add(window("gone", number), 1)
    for number in range(1, 104):
        rows.add(window("cart", number), 0)
    assert rows.complete_us == 4 * SIZE_US, "whoever catches up may read one partition long before another"
    rows.add(window("cart", 104), 0)
    assert rows.complete_us == 105 * SIZE_US


def test_a_partition_of_services_that_are_declared_gone_is_waited_for_until_their_last_windows() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in range(1, 11):
        rows.add(window("gone", number), 1)
    for number in range(1, 20):
        rows.add(window("cart", number), 0)
    assert rows.complete_us == 11 * SIZE_US
    rows.declare_gone([GoneService(service="gone", at_us=13 * SIZE_US + 1)])
    assert rows.complete_us == 11 * SIZE_US, "windows that end before it was gone are still to come"
    for number in (11, 12):
        rows.add(window("gone", number), 1)
    assert rows.complete_us == 20 * SIZE_US
    assert rows_of(rows)[12] == ["cart", "gone"]
    assert rows_of(rows)[13] == ["cart"]


def test_a_service_that_was_declared_gone_and_comes_again_is_waited_for_again() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    rows.declare_gone([GoneService(service="gone", at_us=12 * SIZE_US)])
    for number in range(1, 12):
        rows.add(window("gone", number), 1)
    for number in range(1, 31):
        rows.add(window("cart", number), 0)
    assert rows.complete_us == 31 * SIZE_US
    for number in range(31, 61):
        rows.add(window("gone", number), 1)
    for number in range(31, 71):
        rows.add(window("cart", number), 0)
    assert rows.complete_us == 61 * SIZE_US


def test_one_service_that_is_gone_does_not_end_the_wait_for_another_of_its_partition() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    rows.declare_gone([GoneService(service="gone", at_us=11 * SIZE_US)])
    for number in range(1, 11):
        rows.add(window("gone", number), 1)
        rows.add(window("ads", number), 1)
    for number in range(1, 21):
        rows.add(window("cart", number), 0)
    assert rows.complete_us == 11 * SIZE_US


def test_where_all_services_are_gone_what_is_there_stays_complete() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in range(1, 11):
        rows.add(window("cart", number), 0)
        rows.add(window("ads", number), 1)
    rows.declare_gone([GoneService(service=each, at_us=11 * SIZE_US) for each in ("ads", "cart")])
    assert rows.complete_us == 11 * SIZE_US


def test_a_partition_that_says_nothing_for_long_and_goes_on_has_lost_no_row() -> None:
    """What makes its windows may have been down: the log does not tell that from a service that is gone."""
    rows, undisturbed = SystemRows(keep_us=100 * SIZE_US), SystemRows(keep_us=100 * SIZE_US)
    numbers = range(1, 110)
    late = [number for number in numbers if number > 10]
    for number in numbers:
        undisturbed.add(window("cart", number), 0)
        undisturbed.add(window("ads", number), 1)
        rows.add(window("cart", number), 0)
        if number not in late:
            rows.add(window("ads", number), 1)
    assert rows.complete_us == 11 * SIZE_US
    for number in late:
        rows.add(window("ads", number), 1)
    assert rows_of(rows) == rows_of(undisturbed)


def test_a_window_that_comes_again_is_not_new() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    assert rows.add(window("cart", 1), 0)
    assert not rows.add(window("cart", 1), 0)
    assert rows.add(window("cart", 2), 0)
    assert not rows.add(window("cart", 1), 0)


def test_no_more_is_kept_than_asked_for() -> None:
    rows = SystemRows(keep_us=3 * SIZE_US)
    for number in range(1, 50):
        rows.add(window("cart", number), 0)
    assert [start_us // SIZE_US for start_us, _ in rows.rows(0, 100 * SIZE_US)] == [46, 47, 48, 49]
    assert not rows.add(window("cart", 1), 0)


def test_one_that_goes_on_from_a_snapshot_knows_what_came_and_what_is_missing() -> None:
    rows, again = SystemRows(keep_us=100 * SIZE_US), SystemRows(keep_us=100 * SIZE_US)
    for number in (1, 2):
        rows.add(window("cart", number), 0)
        rows.add(window("ads", number), 1)
    rows.add(window("cart", 3), 0)
    again.restore(json.loads(json.dumps(rows.snapshot())))
    assert again.complete_us == rows.complete_us == 3 * SIZE_US
    assert not again.add(window("cart", 3), 0)
    assert again.add(window("ads", 3), 1)
    assert again.complete_us == 4 * SIZE_US


def rows_of(rows: SystemRows) -> dict[int, list[str]]:
    """The services of each complete instant, by its number."""
    return {start_us // SIZE_US: sorted(row) for start_us, row in rows.rows(0, rows.complete_us)}


LATE_BY = {"b": 2, "e": 1}
"""Windows that services send late; the others of their partitions go on meanwhile."""
FIRST = {"d": 11, "b": 4}
"""The first window of services that were not there at the begin."""

AHEAD = SETTLES_WINDOWS - 1 - max(LATE_BY.values())
"""Windows that a partition is ahead of others at most."""


def logs() -> dict[int, list[FeatureWindow]]:
    """Partitions with services that are slow, and that come later, and one that pauses."""
    return {
        partition: [
            window(service, number - LATE_BY.get(service, 0))
            for number in range(1, 30)
            for service in services
            if number - LATE_BY.get(service, 0) >= FIRST.get(service, 1)
            and not (service == "c" and 16 <= number < 19)
        ]
        for partition, services in {0: ["a", "b"], 1: ["c"], 2: ["d", "e", "f"]}.items()
    }


@given(st.lists(st.integers(min_value=0, max_value=2), max_size=200))
def test_however_the_partitions_are_read_complete_instants_are_the_same(turns: list[int]) -> None:
    """A partition may be some windows ahead of another, as of a worker that is slow to start."""
    queues = logs()
    rows = SystemRows(keep_us=100 * SIZE_US)
    front_us = dict.fromkeys(queues, 0)
    seen: dict[int, list[str]] = {}
    for partition in [*turns, *([0, 1, 2] * 200)]:
        next_us = {other: max(front_us[other], queue[0].start_us) for other, queue in queues.items() if queue}
        if partition not in next_us or next_us[partition] > min(next_us.values()) + AHEAD * SIZE_US:
            continue
        front_us[partition] = next_us[partition]
        rows.add(queues[partition].pop(0), partition)
        for number, services in rows_of(rows).items():
            assert seen.setdefault(number, services) == services
    at_once = SystemRows(keep_us=100 * SIZE_US)
    for partition, windows in logs().items():
        for each in windows:
            at_once.add(each, partition)
    assert not any(queues.values())
    assert seen == rows_of(at_once)
