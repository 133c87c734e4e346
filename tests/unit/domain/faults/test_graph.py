from __future__ import annotations

from microservo.domain.graph import CallGraph, affected_services
from schemas.records import ServiceGraph

EDGES = [
    ("loadgen", "front"),
    ("front", "checkout"),
    ("front", "cart"),
    ("checkout", "cart"),
    ("cart", "redis"),
    ("front", "ads"),
]


def hops(target: str, **options: frozenset[str]) -> dict[str, int]:
    return {each.service: each.hops for each in affected_services(EDGES, target, **options)}


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


def test_callers_of_callers_are_affected_by_the_shortest_path() -> None:
    assert hops("redis") == {"redis": 0, "cart": 1, "checkout": 2, "front": 2}


def test_only_the_target_is_the_root_cause() -> None:
    roles = {each.service: each.role for each in affected_services(EDGES, "cart")}
    assert roles == {"cart": "root_cause", "checkout": "affected", "front": "affected"}


def test_users_are_no_service_unless_wanted() -> None:
    assert "loadgen" not in hops("front")
    assert hops("front", outside=frozenset()) == {"front": 0, "loadgen": 1}


def test_a_circle_of_calls_ends() -> None:
    found = affected_services([("a", "b"), ("b", "a"), ("a", "a")], "a")
    assert [(each.service, each.hops) for each in found] == [("a", 0), ("b", 1)]


def test_an_unknown_target_is_at_least_its_own_root_cause() -> None:
    assert hops("unknown") == {"unknown": 0}


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
