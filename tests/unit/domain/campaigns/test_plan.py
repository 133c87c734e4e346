"""Plans of campaigns: the same seed gives the same bytes, and what the file asks for is kept."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microservo.domain import campaigns
from microservo.domain.campaigns.choice import CampaignFault, campaign
from microservo.domain.campaigns.definition import SECOND_US, Definition, load_definition
from microservo.domain.campaigns.plan import (
    CampaignPlan,
    PlannedStep,
    fault_id,
    one_after_another,
    plan_campaign,
)
from microservo.domain.campaigns.target import CampaignTarget
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.topology_files import read_topology

TOPOLOGY = read_topology("online-boutique")
TARGET = CampaignTarget.of(TOPOLOGY)
LOCAL = kinds_of_local_targets()
SHIPPED = sorted((Path(campaigns.__file__).parent / "shipped").glob("*.toml"))
HEAD = 'name = "mine"\n'


def planned(text: str, seed: int | None = None) -> CampaignPlan:
    return plan_campaign(load_definition(HEAD + text, "mine.toml"), TARGET, LOCAL, seed)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_campaign_gives_the_same_bytes_for_the_same_seed_and_others_for_another(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first, again = (plan_campaign(load_definition(text, path.name), TARGET, LOCAL, 11) for _ in range(2))
    assert first.to_bytes() == again.to_bytes()
    assert first.sha256 != plan_campaign(load_definition(text, path.name), TARGET, LOCAL, 12).sha256
    assert first.name == path.stem
    assert CampaignPlan.from_bytes(first.to_bytes()) == first


def test_the_bytes_of_a_plan_are_these_on_every_machine() -> None:
    assert planned("[faults]\ncount = 5\n", 7).sha256 == (
        "d16bbf1799bd5e4a91ebb904cdd1555285f8651749a150f4e58e857c2d0267d3"
    )


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("all-kinds", "5cad1f893798ec450b7695c9710f30b53ff32717887b5ea3eb2e4c540738db70"),
        ("concurrent", "90a63efc44ccd50ab57790f5e5fec86e2a7322175b47de95adc1b3e496c26083"),
        ("night", "67563c43cb5f7ec82bdc404d8e4af30519f32de67184bd3c945a41596f38d198"),
        ("severity-ladder", "c3a867336be92d2ac89dd770a8a32669c986367602c7372cbc2d832c87c268ad"),
        ("smoke", "29c43f9481924d031e5aa18638f9b9edb280228987a7aaf5baa51d65892bcd39"),
    ],
)
def test_a_shipped_campaign_has_these_faults_whatever_kinds_only_clusters_carry(
    name: str, sha256: str
) -> None:
    assert shipped(name).sha256 == sha256


def test_without_a_mix_a_campaign_chooses_from_what_the_target_carries_that_does_something_to_services() -> (
    None
):
    definition = load_definition(HEAD + "[faults]\ncount = 9\n", "mine.toml")
    plan = plan_campaign(definition, TARGET, ["noop", "pod-kill", "network-delay", "telemetry-drop"])
    assert {step.kind for step in plan.steps} == {"pod-kill", "network-delay"}


def test_the_file_that_the_documentation_shows_is_a_campaign() -> None:
    document = (Path(campaigns.__file__).parents[3] / "docs" / "campaigns.md").read_text(encoding="utf-8")
    text = document.partition("```toml\n")[2].partition("```")[0]
    plan = plan_campaign(load_definition(text, "docs/campaigns.md"), TARGET, LOCAL)
    assert (plan.name, len(plan.steps)) == ("mine", 12)
    delays = [step.parameters["latency"] for step in plan.steps]
    assert delays[:2] == ["50ms", "500ms"]


def shipped(name: str, seed: int = 7) -> CampaignPlan:
    path = next(path for path in SHIPPED if path.stem == name)
    return plan_campaign(load_definition(path.read_text(encoding="utf-8"), path.name), TARGET, LOCAL, seed)


def test_all_kinds_has_each_kind_twice_and_half_the_time_without_faults() -> None:
    plan = shipped("all-kinds")
    kinds = {name for name in LOCAL if name != "noop" and not KINDS[name].on_telemetry}
    assert Counter(step.kind for step in plan.steps) == dict.fromkeys(kinds, 2)
    assert 0.5 <= plan.fault_free_share < 0.55


def test_the_ladder_takes_each_severity_of_each_kind_in_turn() -> None:
    plan = shipped("severity-ladder")
    delays = [step.parameters["latency"] for step in plan.steps if step.kind == "network-delay"]
    assert delays == ["20ms", "50ms", "150ms", "500ms"]
    severities = [KINDS[step.kind].from_text(step.parameters).severity for step in plan.steps]
    for kind in {step.kind for step in plan.steps}:
        own = [each for each, step in zip(severities, plan.steps, strict=True) if step.kind == kind]
        assert own == sorted(own), kind


def test_concurrent_faults_are_up_to_three_and_never_two_on_one_service() -> None:
    plan = shipped("concurrent")
    assert most_at_once(plan) == 3
    assert plan.fault_free_share >= 0.3


def test_a_night_lasts_eight_hours_whatever_the_seed() -> None:
    for seed in range(3):
        plan = shipped("night", seed)
        assert plan.lasts_us == 8 * 3600 * SECOND_US
        assert plan.steps[-1].at_us + plan.steps[-1].duration_us <= plan.lasts_us - 300 * SECOND_US
        assert plan.fault_free_share >= 0.7
        assert [step.journeys_per_s for step in plan.load] == [4.0, 8.0, 12.0, 6.0]
        assert len(plan.steps) > 80


def most_at_once(plan: CampaignPlan) -> int:
    return max(
        sum(other.at_us <= step.at_us < other.at_us + other.duration_us for other in plan.steps)
        for step in plan.steps
    )


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 30),
    concurrency=st.integers(1, 5),
    fault_free=st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    longest=st.integers(1, 60),
    gap=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_whatever_is_asked_for_is_kept(  # noqa: PLR0917  # Hypothesis gives them by name
    count: int, concurrency: int, fault_free: float, longest: int, gap: int, seed: int
) -> None:
    definition = Definition(
        name="any",
        count=count,
        concurrency=concurrency,
        fault_free=fault_free,
        duration_us=(SECOND_US, longest * SECOND_US),
        gap_us=(gap * SECOND_US, 2 * gap * SECOND_US),
    )
    plan = plan_campaign(definition, TARGET, LOCAL, seed)
    assert [step.number for step in plan.steps] == list(range(1, count + 1))
    assert [step.at_us for step in plan.steps] == sorted(step.at_us for step in plan.steps)
    assert most_at_once(plan) <= concurrency
    assert plan.fault_free_share >= fault_free - 1e-9
    for one, other in combinations(plan.steps, 2):
        if one.service == other.service:
            assert other.at_us >= one.quiet_at_us
    assert all(gap * SECOND_US <= step.gap_us for step in plan.steps)


def test_faults_chosen_before_come_one_after_another_as_they_are() -> None:
    faults = campaign(11, sorted(KINDS), ["a", "b"], 12)
    plan = one_after_another("demo", 11, "online-boutique", faults)
    assert plan.faults == faults
    for before, after in zip(plan.steps, plan.steps[1:], strict=False):
        assert after.at_us == before.quiet_at_us


def test_a_kind_that_weighs_more_comes_more_often_in_each_round() -> None:
    plan = planned(
        '[faults]\ncount = 8\n[[mix]]\nkind = "cpu-hog"\nweight = 3\n[[mix]]\nkind = "process-kill"\n'
    )
    for round_ in (plan.steps[:4], plan.steps[4:]):
        assert Counter(step.kind for step in round_) == {"cpu-hog": 3, "process-kill": 1}


def test_only_the_services_that_are_named_are_hit() -> None:
    plan = planned(
        '[target]\nservices = ["cartservice", "frontend", "adservice"]\nwithout = ["frontend"]\n'
        "[faults]\ncount = 6\n"
    )
    assert {step.service for step in plan.steps} == {"cartservice", "adservice"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[faults]\n", "give either count, a number of faults, or lasts, a time"),
        ('[faults]\ncount = 1\nlasts = "1h"\n', "give either count"),
        ("[faults]\ncount = 1\nspeed = 3\n", "faults.speed: this is no known key"),
        ('[faults]\ncount = 1\nduration = ["20s"]\n', "faults.duration"),
        ('[faults]\ncount = 1\nduration = ["20s", "10s"]\n', "expected the shorter one first"),
        ('[faults]\ncount = 1\ngap = ["20", "30s"]\n', "'20' is not understood"),
        ('[faults]\ncount = 1\nduration = ["1s", "2h"]\n', "faults.duration"),
        ('[faults]\ncount = 1\n[[mix]]\nkind = "cpu-hug"\n', "did you mean 'cpu-hog'"),
        (
            '[faults]\ncount = 1\n[[mix]]\nkind = "network-delay"\nseverities = [{ latency = "never" }]\n',
            "parameter latency: 'never' is not understood",
        ),
        ('[faults]\ncount = 1\n[target]\nservices = ["cart"]\n', "online-boutique has no service 'cart'"),
        ('[faults]\nlasts = "5s"\nwarm_up = "10s"\n', "has no time for a fault"),
        ('[faults]\ncount = 2\ngap = ["0s", "0s"]\nfault_free = 0.9\n', "give shorter faults and gaps above"),
        ("[faults]\ncount = 1\nbalanced = true\nconcurrency = 2\n", "one fault at a time"),
        ('[faults]\ncount = 1\n[[load]]\nat = "5s"\njourneys_per_s = 1.0\n', 'the first at "0s"'),
        ("[faults\n", "not a TOML document"),
    ],
)
def test_what_can_not_be_is_refused_with_file_place_and_way_out(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        planned(text)
    assert message in str(refused.value)


def test_bytes_that_are_no_plan_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no plan of a campaign"):
        CampaignPlan.from_bytes(b'{"name": 1}')


def test_ids_of_faults_are_those_of_the_campaign_with_a_number() -> None:
    step = PlannedStep(
        number=12, at_us=0, kind="noop", service="a", parameters={}, duration_us=SECOND_US, gap_us=0
    )
    assert fault_id("smoke-1a2b3c4d", step) == "smoke-1a2b3c4d-012"


def test_a_fault_without_gap_counts_the_same_as_it_was(given_fault: CampaignFault) -> None:
    assert one_after_another("x", 1, "t", [given_fault]).faults == [given_fault]


@pytest.fixture
def given_fault() -> Any:
    return CampaignFault(kind="cpu-hog", service="a", parameters={}, duration_s=3, gap_s=0)
