"""What the manager decides about services, seen in a world in virtual time."""

from __future__ import annotations

from dataclasses import replace

from decided import (
    AMERICA,
    ASIA,
    EUROPE,
    GIB,
    command,
    container,
    front,
    host,
    hosts_of,
    reports,
    requests,
    rule,
    world,
)

from microservo.domain.manager.entities import (
    Dependency,
    NamedRule,
    Prediction,
    Service,
)
from microservo.domain.manager.simulation.world import FIRST_US, SECOND_US


def test_what_can_not_be_done_does_not_keep_a_service_from_what_can() -> None:
    more = [
        replace(each, priority=1) if isinstance(each, NamedRule) else each
        for each in rule("replicate", ">", 40.0)
    ]
    # Two processors are busy for each: 50 % of the small host, 12.5 % of the large one.
    made = world(
        front(),
        host("small", EUROPE),
        host("large", EUROPE, cores=16.0),
        container("asks-for-more", "small", EUROPE),
        container("would-move", "large", EUROPE),
        more,
        rule("migrate", ">", 10.0),
        demand=requests(4000.0, EUROPE),
        seconds=30,
    )
    assert not reports(made, "migrate"), "both are where the demand is"
    assert len(made.running) > 2


def test_of_several_containers_that_shall_move_the_one_farthest_from_the_demand_goes_first() -> None:
    made = world(
        front(minimum_replicas=2),
        host("berlin", EUROPE),
        host("asia", ASIA),
        host("america", AMERICA),
        container("a", "asia", ASIA),
        container("b", "america", AMERICA),
        rule("migrate", ">", 10.0),
        demand=requests(2000.0, EUROPE),
        seconds=15,
    )
    assert reports(made, "migrate")[0].from_host == "america"


def test_a_service_without_any_container_gets_its_minimum_without_a_rule() -> None:
    made = world(host("a", EUROPE), front(minimum_replicas=3), seconds=15)
    assert hosts_of(made) == ["a", "a", "a"]
    assert reports(made, "launch")[0].rule == "minimum replicas"


def test_the_highest_of_several_predictions_counts_from_its_very_second_to_its_end() -> None:
    low, high = (
        Prediction(
            name=name,
            service="front",
            start_us=FIRST_US + start * SECOND_US,
            end_us=FIRST_US + 90 * SECOND_US,
            minimum_replicas=least,
        )
        for name, start, least in (("low", 20, 2), ("high", 40, 4))
    )
    made = world(host("a", EUROPE), front(), low, high, seconds=19)
    counts = [len(made.running)]
    for seconds in (5, 14, 6):
        made.run(seconds)
        counts.append(len(made.running))
    assert counts == [1, 2, 2, 4]
    assert made.state.minimum(made.state.services["front"], FIRST_US + 90 * SECOND_US) == 1


def test_a_busy_service_gets_one_more_after_two_evaluations_and_never_more_than_its_maximum() -> None:
    made = world(
        host("a", EUROPE),
        front(maximum_replicas=2),
        container("c", "a", EUROPE),
        rule("replicate", ">", 20.0),
        demand=requests(2000.0, EUROPE),
        seconds=9,
    )
    assert not reports(made, "replicate"), "one evaluation is not enough"
    made.run(200)
    assert len(made.running) == 2
    found = reports(made, "replicate")
    assert [(each.rule, each.fields, each.values) for each in found] == [
        ("replicate-rule", ("cpu-%",), (50.0,))
    ]


def test_a_maximum_of_nought_is_no_limit() -> None:
    made = world(
        host("a", EUROPE),
        front(),
        container("c", "a", EUROPE),
        rule("replicate", ">", 10.0),
        demand=requests(1200.0, EUROPE),
        seconds=400,
    )
    assert len(made.running) == 3


def test_a_service_follows_its_demand_and_never_moves_onto_the_host_that_it_leaves() -> None:
    demand = requests(100.0, EUROPE)
    made = world(
        host("europe", EUROPE),
        host("asia", ASIA),
        front(),
        container("c", "europe", EUROPE),
        rule("migrate", ">", 0.0),
        demand=demand,
        seconds=60,
    )
    assert hosts_of(made) == ["europe"], "it is where its users are, so it stays"
    demand.move(requests(100.0, ASIA).origins)
    while not reports(made, "migrate"):
        made.run(1)
    made.run(30)
    assert hosts_of(made) == ["asia", "europe"], "both run until callers know of the new one"
    made.run(120)
    assert hosts_of(made) == ["asia"]
    decided = reports(made, "migrate")
    assert [(each.from_host, each.to_host) for each in decided] == [("europe", "asia")]


def test_the_least_useful_container_is_stopped_but_not_below_the_minimum() -> None:
    made = world(
        host("europe", EUROPE),
        host("asia", ASIA),
        front(),
        container("c-1", "europe", EUROPE),
        container("c-2", "asia", ASIA),
        rule("stop", "<", 50.0),
        demand=requests(10.0, EUROPE),
        seconds=120,
    )
    assert hosts_of(made) == ["europe"], "the one that is far from the users goes"
    made.run(200)
    assert hosts_of(made) == ["europe"]


def test_a_database_goes_with_the_last_one_that_uses_it_on_its_host_and_not_before() -> None:
    database = Service(name="db", type="database", memory_bytes=1 * GIB)
    made = world(
        host("a", EUROPE),
        front(minimum_replicas=0),
        Service(name="other", memory_bytes=1 * GIB),
        database,
        Dependency(service="front", dependency="db"),
        Dependency(service="other", dependency="db"),
        container("c-1", "a", EUROPE),
        container("o-1", "a", EUROPE, "other"),
        container("d-1", "a", EUROPE, "db"),
    )
    command(made, "stop", "container/c-1")
    made.run(3)
    assert sorted(made.running) == ["d-1", "o-1"]
    command(made, "stop", "container/o-1")
    made.run(3)
    assert not made.running
