from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.system_rows import SystemRows
from schemas.records import FeatureWindow

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
    for number in (1, 2):
        rows.add(window("cart", number), 0)
        rows.add(window("ads", number), 1)
    assert rows.complete_us == 3 * SIZE_US
    rows.add(window("cart", 3), 0)
    assert rows.complete_us == 3 * SIZE_US
    rows.add(window("ads", 3), 1)
    assert rows.complete_us == 4 * SIZE_US
    ((start_us, row),) = rows.rows(3 * SIZE_US, rows.complete_us)
    assert start_us == 3 * SIZE_US
    assert set(row) == {"cart", "ads"}


def test_the_first_instant_is_complete_when_the_second_begins() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    rows.add(window("cart", 1), 0)
    assert rows.rows(0, rows.complete_us) == []
    rows.add(window("ads", 1), 0)
    rows.add(window("cart", 2), 0)
    assert [sorted(row) for _, row in rows.rows(0, rows.complete_us)] == [["ads", "cart"]]


def test_a_service_that_is_gone_is_waited_for_until_its_partition_goes_on() -> None:
    rows = SystemRows(keep_us=100 * SIZE_US)
    for number in (1, 2):
        rows.add(window("cart", number), 0)
        rows.add(window("gone", number), 0)
    rows.add(window("cart", 3), 0)
    assert rows.complete_us == 3 * SIZE_US
    rows.add(window("cart", 4), 0)
    assert rows.complete_us >= 4 * SIZE_US


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


@given(st.lists(st.integers(min_value=0, max_value=2), max_size=60))
def test_however_the_partitions_are_read_complete_instants_are_the_same(turns: list[int]) -> None:
    """A partition may be a window ahead of another, as they are cut at the same time."""
    order = {0: ["a", "b"], 1: ["c"], 2: ["d", "e"]}
    queues = {
        partition: [window(service, number) for number in range(1, 9) for service in services]
        for partition, services in order.items()
    }
    rows = SystemRows(keep_us=100 * SIZE_US)
    seen: dict[int, list[str]] = {}
    for partition in [*turns, *([0] * 16), *([1] * 8), *([2] * 16)]:
        if not queues[partition] or queues[partition][0].start_us > min(
            (queue[0].start_us for queue in queues.values() if queue), default=0
        ):
            continue
        rows.add(queues[partition].pop(0), partition)
        for start_us, row in rows.rows(2 * SIZE_US, rows.complete_us):
            assert seen.setdefault(start_us, sorted(row)) == sorted(row)
    assert all(services == ["a", "b", "c", "d", "e"] for services in seen.values())
