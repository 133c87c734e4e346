from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.campaigns.choice import campaign, requests_per_journey
from microservo.domain.faults.catalogue import KINDS, parse_request
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms import kinds_of_local_targets
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
        faults = campaign(seed, list(kinds_of_local_targets()), ["a", "b"], 6)
        assert 130 <= sum(fault.duration_s + fault.gap_s for fault in faults) <= 165


def test_a_balanced_campaign_is_short_where_callers_suffer_and_long_where_not() -> None:
    kinds = [kind for kind in kinds_of_local_targets() if kind != "noop"]
    for seed in range(20):
        for fault in campaign(seed, kinds, ["a", "b"], 24, callers={"a": ["b"]}):
            if KINDS[fault.kind].stays_local:
                assert fault.duration_s >= 50
            else:
                assert 2 < fault.duration_s <= 5


@pytest.mark.parametrize("is_balanced", [False, True])
def test_in_a_balanced_campaign_no_service_is_affected_much_longer_than_others(is_balanced: bool) -> None:
    topology = read_topology("online-boutique")
    callers = topology.callers()
    kinds = [kind for kind in kinds_of_local_targets() if kind != "noop"]
    times = []
    for seed in range(20):
        affected_s: Counter[str] = Counter()
        for fault in campaign(
            seed, kinds, list(topology.services), 48, callers=callers if is_balanced else None
        ):
            affected_s[fault.service] += fault.duration_s
            if not KINDS[fault.kind].stays_local:
                for name in waiting_for(fault.service, callers):
                    affected_s[name] += fault.duration_s
        times.append(max(affected_s.values()) / np.median([affected_s[name] for name in topology.services]))
    assert (np.median(times) < 3) == is_balanced


def waiting_for(service: str, callers: Mapping[str, Sequence[str]]) -> set[str]:
    direct = set(callers.get(service, ()))
    return direct | {name for caller in direct for name in waiting_for(caller, callers)}


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


def test_an_idle_service_waits_for_a_kind_that_shows_without_requests() -> None:
    kinds = [kind for kind in kinds_of_local_targets() if kind != "noop"]
    shown = []
    for seed in range(50):
        faults = campaign(seed, kinds, ["busy", "idle", "other"], 24, idle=["idle"])
        shown += [KINDS[fault.kind].shows_idle for fault in faults if fault.service == "idle"]
        assert all(a.service != b.service for a, b in pairwise(faults))
    assert set(shown) == {True}


def test_where_all_are_idle_each_still_has_its_turn() -> None:
    faults = campaign(7, ["network-delay"], ["a", "b"], 4, idle=["a", "b"])
    assert sorted(fault.service for fault in faults) == ["a", "a", "b", "b"]


def test_the_requests_of_a_journey_are_those_of_its_calls() -> None:
    load = requests_per_journey(read_topology("online-boutique"))
    assert load["frontend"] == pytest.approx(28 / 19)
    assert load["emailservice"] == pytest.approx(1 / 19)
    assert max(load, key=lambda name: load[name]) == "currencyservice"


OFTEN_CHOSEN = [
    *("app-exception", "connection-reset", "cpu-hog", "http-abort", "http-delay", "memory-hog"),
    *("network-bandwidth", "network-delay", "network-loss", "process-kill", "process-pause"),
]


@pytest.mark.parametrize(
    ("kinds", "part"),
    # Of all kinds, one in seven shows on a service that hardly any request comes to: three share those.
    [(OFTEN_CHOSEN, 3), ([kind for kind in kinds_of_local_targets() if kind != "noop"], 4)],
    ids=["often chosen", "all"],
)
def test_over_seeds_every_service_has_its_share_of_faults_the_entry_too(kinds: list[str], part: int) -> None:
    topology = read_topology("online-boutique")
    idle = [name for name, requests in requests_per_journey(topology).items() if 8 * requests < 1]
    faults = [
        fault for seed in range(100) for fault in campaign(seed, kinds, list(topology.services), 6, idle=idle)
    ]
    counts = Counter(fault.service for fault in faults)
    assert set(counts) == set(topology.services)
    assert min(counts.values()) > 600 / 11 / part
    assert max(counts.values()) < 600 / 11 * 2


EDGES = [("loadgen", "front"), ("front", "checkout"), ("front", "cart"), ("checkout", "cart")]


def test_a_kind_that_needs_users_or_a_callee_comes_where_there_are_some() -> None:
    kinds, services = ["load-spike", "dns-failure", "cpu-hog"], ["front", "checkout", "cart"]
    faults = [fault for seed in range(20) for fault in campaign(seed, kinds, services, 12, edges=EDGES)]
    assert {fault.service for fault in faults if fault.kind == "load-spike"} == {"front"}
    assert {fault.service for fault in faults if fault.kind == "dns-failure"} == {"front", "checkout"}
    assert {fault.service for fault in faults if fault.kind == "cpu-hog"} == set(services)
    with pytest.raises(InvalidInput, match=r"load-spike can be at none of cart; leave it out"):
        campaign(7, ["load-spike"], ["cart"], 3, edges=EDGES)


def test_a_partition_is_between_services_that_call_each_other() -> None:
    pairs = {tuple(sorted(edge)) for edge in EDGES}
    for seed in range(20):
        faults = campaign(seed, ["network-partition"], ["front", "checkout", "cart"], 6, edges=EDGES)
        assert {tuple(sorted((each.service, each.parameters["peer"]))) for each in faults} <= pairs
        assert faults == campaign(seed, ["network-partition"], ["front", "checkout", "cart"], 6, edges=EDGES)
