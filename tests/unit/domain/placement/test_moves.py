"""Ports, what leaves an overloaded host, and where an underloaded one's containers go."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placed import GB, containers_of, host, hosts_of, inactive

from microservo.domain.placement import (
    Move,
    NotDrained,
    first_free_port,
    plan_drain,
    rank_reliefs,
    room,
)
from microservo.errors import InvalidInput, Unavailable


def test_the_first_free_port_from_the_default_one_upwards_is_taken() -> None:
    assert first_free_port(8080, []) == 8080
    assert first_free_port(8080, {8080, 8081, 8083}) == 8082
    assert first_free_port(65535, {80}) == 65535


def test_a_host_without_a_free_port_and_what_is_no_port_are_refused() -> None:
    with pytest.raises(Unavailable, match="no port from 65534 to 65535 is free"):
        first_free_port(65534, {65534, 65535})
    for wrong in (0, 65536):
        with pytest.raises(InvalidInput, match=f"{wrong} is no port"):
            first_free_port(wrong, [])


def names(*rows: dict[str, Any], **differs: Any) -> list[str]:
    overloaded = hosts_of([host("h", **{"cpu_percent": 100.0, "memory_available": 12 * GB, **differs})])
    return [each.name for each in rank_reliefs(overloaded, 0, containers_of(rows))]


def test_the_container_that_helps_most_at_least_cost_leaves_an_overloaded_host() -> None:
    # 10 points of 4 processors are too many: half a processor takes away all of it.
    overloaded = hosts_of([host("h", cpu_percent=100.0)])
    ranked = rank_reliefs(
        overloaded,
        0,
        containers_of(
            [
                {"name": "small", "cpu_cores": 0.2, "requests_per_s": 0.0},
                {"name": "enough", "cpu_cores": 0.5, "requests_per_s": 0.0, "memory_bytes": 1.6 * GB},
                {"name": "busy", "cpu_cores": 3.0, "requests_per_s": 90.0},
            ]
        ),
    )
    assert [each.name for each in ranked] == ["enough", "busy", "small"]
    assert [each.relief for each in ranked] == pytest.approx([1, 1, 0.5])
    assert [each.cost for each in ranked] == pytest.approx([1.1, 2.0625, 1.0625])


def test_the_choice_is_the_same_every_time_and_ties_go_by_name() -> None:
    rows = [{"name": name} for name in ("b", "c", "a")]
    assert names(*rows) == names(*reversed(rows)) == ["a", "b", "c"]


def test_databases_and_containers_that_can_not_move_stay() -> None:
    assert names({"name": "db", "cpu_cores": 3.0, "can_move": False}, {"name": "cart"}) == ["cart"]


def test_a_container_that_takes_nothing_of_the_excess_does_not_help() -> None:
    assert names({"name": "idle", "cpu_cores": 0.0}, {"name": "cart"}) == ["cart"]


def test_excess_of_memory_counts_beside_that_of_processors() -> None:
    rows = [{"name": "cpu", "cpu_cores": 2.0, "memory_bytes": 0.0}, {"name": "ram", "memory_bytes": 4 * GB}]
    assert names(*rows, cpu_percent=50.0, memory_available=0.0)[0] == "ram"
    assert names(*rows, cpu_percent=100.0, memory_available=12 * GB)[0] == "cpu"


def test_where_nothing_is_above_the_ceiling_the_largest_share_for_its_cost_goes() -> None:
    rows = [{"name": "small", "cpu_cores": 0.1}, {"name": "large", "cpu_cores": 2.0}]
    assert names(*rows, cpu_percent=40.0) == ["large", "small"]


def test_a_host_that_nobody_measured_has_no_excess_and_nothing_fails() -> None:
    nothing = {
        "cpu_percent": math.nan,
        "cores": math.nan,
        "memory_total": math.nan,
        "memory_available": math.nan,
    }
    assert names({"name": "cart"}, **nothing) == []


def test_every_container_of_an_underloaded_host_goes_to_the_nearest_node_with_room_but_not_back() -> None:
    hosts = hosts_of([host("idle"), host("near", longitude=1.0), host("far", longitude=50.0)])
    found = plan_drain(hosts, 0, containers_of([{"name": "a"}, {"name": "b", "longitude": 49.0}]))
    assert isinstance(found, tuple)
    assert {move.container: move.host for move in found} == {"a": "near", "b": "far"}


def test_a_host_is_not_drained_at_all_where_one_container_finds_no_place() -> None:
    # Two of them fit, as one after another takes its share of the room.
    hosts = hosts_of([host("idle"), host("other", memory_available=4 * GB), inactive("off")])
    rows = [{"name": name} for name in "abc"]
    assert isinstance(plan_drain(hosts, 0, containers_of(rows[:2])), tuple)
    found = plan_drain(hosts, 0, containers_of(rows))
    assert isinstance(found, NotDrained)
    assert found.container == "c"
    assert found.reason == "container c finds no place on another node: 1 excluded, 1 memory, 1 inactive"


def test_the_largest_leaves_first_so_that_all_find_a_place() -> None:
    rooms = [
        host("idle"),
        host("small", memory_available=3 * GB),
        host("large", memory_available=7 * GB, longitude=5.0),
    ]
    rows = [{"name": "a", "memory_bytes": 1.2 * GB}, {"name": "b", "memory_bytes": 5 * GB}]
    found = plan_drain(hosts_of(rooms), 0, containers_of(rows))
    assert isinstance(found, tuple)
    assert [(move.container, move.host) for move in found] == [("b", "large"), ("a", "small")]


def test_a_host_keeps_what_can_not_be_moved_and_so_everything() -> None:
    hosts = hosts_of([host("idle"), host("other")])
    found = plan_drain(hosts, 0, containers_of([{"name": "a"}, {"name": "db", "can_move": False}]))
    assert found == NotDrained(
        container="db", reason="container db of host idle can't be moved, so the host is kept"
    )


def test_hosts_that_are_drained_in_the_same_turn_get_nothing() -> None:
    hosts = hosts_of([host("idle"), host("other"), host("third", longitude=9.0)])
    found = plan_drain(hosts, 0, containers_of([{"name": "a"}]), excluded={"other"})
    assert isinstance(found, tuple)
    assert found[0].host == "third"


def test_a_host_without_containers_is_drained_by_no_move() -> None:
    assert plan_drain(hosts_of([host("idle")]), 0, containers_of([])) == ()


@given(
    st.lists(st.floats(0.1, 4), max_size=10),
    st.lists(st.floats(2, 12), min_size=1, max_size=4),
)
def test_a_plan_never_fills_a_host_beyond_its_room(sizes: list[float], free: list[float]) -> None:
    hosts = hosts_of(
        [host("idle"), *(host(f"h{n}", memory_available=each * GB) for n, each in enumerate(free))]
    )
    containers = containers_of([{"name": f"c{n}", "memory_bytes": size * GB} for n, size in enumerate(sizes)])
    found = plan_drain(hosts, 0, containers)
    if isinstance(found, NotDrained):
        return
    assert sorted(move.container for move in found) == sorted(containers.names)
    for move in found:
        assert isinstance(move, Move)
        need = containers.need(containers.names.index(move.container))
        assert room(hosts, need)[move.index] == 0
        hosts = hosts.with_reservation(move.index, need)
        assert move.index != 0
