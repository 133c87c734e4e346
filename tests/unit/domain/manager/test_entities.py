"""Entities of the manager as documents."""

from __future__ import annotations

import pytest

from microservo.domain.manager.entities import (
    KINDS,
    Container,
    Dependency,
    Entity,
    Host,
    NamedCondition,
    NamedRule,
    Node,
    Prediction,
    RegionCentre,
    Service,
    document_of,
    entity_key,
    entity_of,
    expand_launch,
    regions_of_world,
    rules_of,
)
from microservo.domain.rules import SimulatedMetric
from microservo.errors import InvalidInput

HOUR_US = 3_600_000_000
FRONT = Service(name="front", type="frontend", environment={"B": "2", "A": "1"}, minimum_replicas=1)
ENTITIES: tuple[Entity, ...] = (
    FRONT,
    Dependency(service="front", dependency="cart"),
    Prediction(name="sale", service="front", start_us=0, end_us=HOUR_US, minimum_replicas=4),
    Container(name="front-1", service="front", host="edge-1", latitude=1.5, longitude=2.5),
    Host(name="edge-1", place="edge", latitude=0.0, longitude=0.0),
    Node(host="edge-1", labels={"place": "lab"}),
    NamedCondition(name="busy", field="cpu-%", operator=">", value=90.0),
    SimulatedMetric(
        name="load",
        scope="host",
        field="cpu-%",
        minimum=1.0,
        maximum=2.0,
        targets=frozenset({"edge-2", "edge-1"}),
    ),
)


@pytest.mark.parametrize("entity", ENTITIES, ids=entity_key)
def test_an_entity_survives_its_document(entity: Entity) -> None:
    assert entity_of(entity_key(entity), document_of(entity)) == entity


def test_a_document_has_the_same_bytes_however_the_entity_was_made() -> None:
    other = Service(name="front", type="frontend", environment={"A": "1", "B": "2"}, minimum_replicas=1)
    assert document_of(FRONT) == document_of(other)
    assert document_of(ENTITIES[-1]).count('"targets":["edge-1","edge-2"]') == 1


def test_every_kind_is_a_name_without_a_slash() -> None:
    assert not [kind for kind in KINDS if "/" in kind]


@pytest.mark.parametrize(
    ("key", "document", "says"),
    [
        ("service/front", '{"name":"front","replicas":2}', "replicas: this is no known key"),
        ("service/front", '{"name":"front","minimum_replicas":"2"}', "expected a valid integer, got '2'"),
        ("service/front", '{"name":"back"}', "has a document of 'service/back'; give both the same name"),
        ("service/a/b", '{"name":"a/b"}', "string should match pattern"),
        ("service/front", "{", "invalid JSON"),
        ("planet/mars", "{}", "no kind 'planet' of entity; take one of app, condition, container"),
        (
            "host/h",
            '{"name":"h","place":"edge","latitude":91,"longitude":0}',
            "less than or equal to 90, got 91",
        ),
        ("container/c", '{"name":"c","service":"s"}', "host: expected a value, got none"),
    ],
)
def test_a_document_that_can_not_be_meant_is_refused_with_its_place_and_value(
    key: str, document: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        entity_of(key, document)
    assert says in str(refused.value)


def test_a_maximum_below_the_minimum_is_refused_and_nought_means_no_limit() -> None:
    with pytest.raises(InvalidInput, match="at least 3 and at most 2 replicas"):
        Service(name="front", minimum_replicas=3, maximum_replicas=2)
    assert Service(name="front", minimum_replicas=3).maximum_replicas == 0


def test_predictions_go_by_date_and_time_and_the_last_instant_is_not_theirs() -> None:
    lunch = Prediction(name="lunch", service="f", start_us=HOUR_US, end_us=2 * HOUR_US, minimum_replicas=3)
    assert [lunch.is_in_force(at) for at in (HOUR_US - 1, HOUR_US, 2 * HOUR_US - 1, 2 * HOUR_US)] == [
        False,
        True,
        True,
        False,
    ]
    with pytest.raises(InvalidInput, match="give an end after its start"):
        Prediction(name="never", service="f", start_us=5, end_us=5, minimum_replicas=3)


def test_a_launch_template_says_which_placeholder_has_no_value() -> None:
    assert expand_launch("${hostname}:${port}", {"hostname": "a", "port": "1"}) == "a:1"
    with pytest.raises(InvalidInput, match=r"no value for '\$\{db\}'; take one of hostname"):
        expand_launch("${db}", {"hostname": "a"})


def test_hosts_with_the_same_address_are_not_the_same() -> None:
    one, other = (
        Host(name=name, place="edge", latitude=0.0, longitude=0.0, public_address="198.51.100.7")
        for name in ("edge-1", "edge-2")
    )
    assert entity_key(one) != entity_key(other)
    assert one != other


def test_rules_share_conditions_by_name_and_a_missing_one_is_named() -> None:
    busy = NamedCondition(name="busy", field="cpu-%", operator=">", value=90.0, margin=10.0)
    rule = NamedRule(name="r", scope="host", generic=True, decision="overload", conditions=("busy",))
    found = rules_of([rule], {"busy": busy})
    assert (found[0].conditions[0].value, found[0].conditions[0].margin) == (90.0, 10.0)
    with pytest.raises(InvalidInput, match="has the condition 'busy', which doesn't exist; there are none"):
        rules_of([rule], {})


def test_regions_are_editable_and_seven_by_default() -> None:
    assert len(regions_of_world([])) == 7
    assert [
        region.name for region in regions_of_world([RegionCentre(name="x", latitude=0, longitude=0)])
    ] == ["x"]
