from __future__ import annotations

from typing import Any

from microservo.domain.faults.lifecycle import ExposedService
from microservo.domain.graph import CallGraph, exposed_services
from schemas.records import ServiceGraph

EDGES = [
    ("loadgen", "front"),
    ("front", "checkout"),
    ("front", "cart"),
    ("checkout", "cart"),
    ("cart", "redis"),
    ("front", "ads"),
    ("ads", "images"),
    ("batch", "images"),
]


def found(target: str, **options: Any) -> dict[str, tuple[str, int]]:
    return {each.service: (each.relation, each.hops) for each in exposed_services(EDGES, target, **options)}


def graph(*edges: tuple[str, str, int]) -> ServiceGraph:
    return ServiceGraph(
        run_id="run-1",
        start_us=0,
        end_us=1,
        callers=tuple(edge[0] for edge in edges),
        callees=tuple(edge[1] for edge in edges),
        calls=tuple(edge[2] for edge in edges),
        errors=tuple(0 for _ in edges),
    )


def test_callers_of_callers_are_exposed_by_the_shortest_path() -> None:
    callers = {name: hops for name, (relation, hops) in found("redis").items() if relation == "caller"}
    assert callers == {"cart": 1, "checkout": 2, "front": 2}


def test_what_the_target_or_a_caller_of_it_calls_may_be_starved() -> None:
    assert found("cart")["redis"] == ("callee", 1)
    assert found("cart")["ads"] == ("callee", 2)
    assert found("cart")["images"] == ("callee", 3)
    assert found("front")["redis"] == ("callee", 2)


def test_who_only_calls_a_callee_is_not_exposed() -> None:
    assert "batch" not in found("cart")


def test_the_users_are_exposed_where_they_meet_the_fault() -> None:
    assert found("cart")["loadgen"] == ("user", 2)
    assert found("front")["loadgen"] == ("user", 1)
    assert "loadgen" not in found("batch")
    assert found("front", outside=frozenset())["loadgen"] == ("caller", 1)


def test_who_shares_the_machine_is_a_neighbour_unless_calls_connect_it() -> None:
    neighbours = ("cart", "front", "redis", "stranger")
    exposed = found("cart", neighbours=neighbours)
    assert exposed["stranger"] == ("neighbour", 0)
    assert exposed["front"] == ("caller", 1)
    assert exposed["redis"] == ("callee", 1)


def test_the_target_comes_first_and_the_rest_by_relation_hops_and_name() -> None:
    order = [each.service for each in exposed_services(EDGES, "cart", neighbours=("a-stranger",))]
    assert order == ["cart", "checkout", "front", "loadgen", "redis", "ads", "images", "a-stranger"]


def test_a_circle_of_calls_ends() -> None:
    exposed = exposed_services([("a", "b"), ("b", "a"), ("a", "a")], "a")
    assert [(each.service, each.relation, each.hops) for each in exposed] == [
        ("a", "root", 0),
        ("b", "caller", 1),
    ]


def test_an_unknown_target_is_at_least_its_own_root() -> None:
    assert exposed_services(EDGES, "unknown") == (ExposedService(service="unknown", relation="root", hops=0),)


def test_paper_counts_until_a_graph_was_seen() -> None:
    calls = CallGraph()
    assert calls.edges([("a", "b")]) == {("a", "b")}
    calls = calls.with_graph(graph(("a", "c", 3), ("a", "d", 0)))
    assert calls.edges([("a", "b")]) == {("a", "c")}


def test_rare_calls_are_remembered_for_a_while_and_silence_changes_nothing() -> None:
    calls = CallGraph(remembered=2)
    calls = calls.with_graph(graph(("a", "rare", 1)))
    calls = calls.with_graph(graph(("a", "b", 9)))
    calls = calls.with_graph(graph())
    assert calls.edges() == {("a", "rare"), ("a", "b")}
    calls = calls.with_graph(graph(("a", "b", 9)))
    assert calls.edges() == {("a", "b")}
