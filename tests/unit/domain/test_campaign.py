from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.campaign import busiest_services, campaign
from microservo.domain.faults.catalogue import KINDS, parse_request
from microservo.errors import InvalidInput
from microservo.platforms.local.topology_files import read_topology
from schemas.records import FaultRequest

NAMES = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


@given(st.integers(), NAMES, NAMES, st.integers(min_value=0, max_value=40))
def test_the_same_seed_gives_the_same_campaign(
    seed: int, kinds: list[str], services: list[str], count: int
) -> None:
    first = campaign(seed, kinds, services, count)
    assert first == campaign(seed, kinds, services, count)
    assert len(first) == count


@given(st.integers(), NAMES, NAMES)
def test_every_kind_and_every_service_comes_before_any_comes_again(
    seed: int, kinds: list[str], services: list[str]
) -> None:
    count = max(len(kinds), len(services))
    faults = campaign(seed, kinds, services, count)
    assert {fault.kind for fault in faults[: len(kinds)]} == set(kinds)
    assert {fault.service for fault in faults[: len(services)]} == set(services)


@given(st.integers(), NAMES.filter(lambda names: len(names) > 1), st.integers(min_value=0, max_value=40))
def test_no_service_is_hit_twice_in_a_row(seed: int, services: list[str], count: int) -> None:
    faults = campaign(seed, ["cpu-hog"], services, count)
    assert all(a.service != b.service for a, b in pairwise(faults))


def test_six_faults_take_about_three_minutes() -> None:
    for seed in range(50):
        faults = campaign(seed, list(KINDS), ["a", "b"], 6)
        assert 130 <= sum(fault.duration_s + fault.gap_s for fault in faults) <= 165


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_a_campaign_is_a_request_that_can_be_carried_out(kind: str) -> None:
    request = FaultRequest(
        fault_id="x",
        action="inject",
        requested_at_us=1,
        kind=kind,
        service="a",
        parameters=dict(KINDS[kind].strong),
        duration_us=12_000_000,
    )
    assert parse_request(request, {"a": ["a-0"]}).fault.kind == kind


@pytest.mark.parametrize(("kinds", "services", "count"), [([], ["a"], 1), (["k"], [], 1), (["k"], ["a"], -1)])
def test_a_campaign_of_nothing_is_refused(kinds: list[str], services: list[str], count: int) -> None:
    with pytest.raises(InvalidInput):
        campaign(1, kinds, services, count)


def test_the_busiest_services_are_those_that_the_journeys_call_most() -> None:
    busiest = busiest_services(read_topology("online-boutique"))
    assert busiest[0] == "currencyservice"
    assert "frontend" not in busiest
    assert busiest.index("cartservice") < busiest.index("emailservice")
