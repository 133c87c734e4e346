"""Campaigns on a target in a cluster: its services, its users' requests, and no load of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from microservo.adapters.clock import now_us
from microservo.application.campaign_faults import CampaignFaults
from microservo.application.campaigns import PlanCampaign, RunCampaign, plan_of_campaign, run_campaign
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.target_health import TargetHealth
from microservo.client.client import Client
from microservo.domain import campaigns
from microservo.domain.campaigns.plan import CampaignPlan, PlannedStep
from microservo.domain.faults.catalogue import kind_named
from microservo.errors import InvalidInput, Unavailable
from microservo.log.publisher import Publisher
from microservo.log.reader import read_topic
from microservo.log.run_records import write_run
from microservo.platforms.noop import NoopMechanism
from microservo.platforms.platform import Instance, Platform
from microservo.testing import MemoryBroker
from schemas.codec import decode_as, encode
from schemas.records import Experiment, FaultRequest, FeatureWindow

SECOND_US = 1_000_000
FILE = """
name = "pods"
[target]
platform = "kubernetes"
{target}
[faults]
count = 6
duration = ["10s", "10s"]
gap = ["5s", "5s"]
[[mix]]
kind = "network-delay"
[[mix]]
kind = "pod-kill"
mode = "one"
"""


@dataclass
class FakeCluster:
    """A platform of pods: three of a service and one of another."""

    name: str = "kubernetes"
    lacks: tuple[str, ...] = ()
    pods: Sequence[Instance] = field(
        default_factory=lambda: [
            *(pod("cart", number, track="canary" if number == 2 else "stable") for number in range(3)),
            pod("front", 0),
        ]
    )

    def instances(self) -> Sequence[Instance]:
        return self.pods

    def mechanisms(self, kind: str) -> Sequence[object]:
        is_carried = "chaos-mesh" in kind_named(kind).mechanisms and kind not in self.lacks
        return [NoopMechanism(now_us)] if is_carried else []


def pod(service: str, number: int, **labels: str) -> Instance:
    return Instance(
        id=f"shop/{service}-{number}", service=service, is_up=True, started_at_us=1, labels=dict(labels)
    )


@dataclass(frozen=True)
class Attached(Connection):
    """A connection to a system whose target is in that cluster."""

    cluster: FakeCluster | None = None

    def platform(self) -> Platform | None:
        return cast("Platform | None", self.cluster)


def attached(cluster: FakeCluster | None = None) -> Context:
    broker = MemoryBroker()
    Client(broker=broker).topics.ensure(partitions=1)
    run = Experiment(
        run_id="run-1",
        status="running",
        seed=7,
        target="kubernetes shop",
        started_at_us=now_us(),
        window_us=5 * SECOND_US,
        first_cut_us=SECOND_US,
        final_cut_us=10 * SECOND_US,
        start_offsets={},
        end_offsets={},
        versions={},
    )
    write_run(broker, run, process="system", clock=now_us)
    connection = Attached(broker=broker, topic_prefix="", cluster=cluster)
    return Context(lambda: connection)


def planned(folder: Path, context: Context, target: str = "", more: str = "") -> CampaignPlan:
    path = folder / "pods.toml"
    path.write_text(FILE.format(target=target) + more)
    return plan_of_campaign(PlanCampaign(name=str(path)), context)


def refusal(folder: Path, target: str = "", more: str = "") -> str:
    with pytest.raises(InvalidInput) as caught:
        planned(folder, attached(FakeCluster()), target, more)
    return str(caught.value)


def test_a_campaign_hits_the_services_that_run_in_the_cluster_and_changes_no_load(tmp_path: Path) -> None:
    plan = planned(tmp_path, attached(FakeCluster()))
    assert {step.service for step in plan.steps} == {"cart", "front"}
    assert {(step.kind, step.mode) for step in plan.steps} == {("network-delay", "all"), ("pod-kill", "one")}
    assert (plan.target, plan.load) == ("kubernetes", ())
    assert plan.to_bytes() == planned(tmp_path, attached(FakeCluster())).to_bytes()
    assert CampaignPlan.from_bytes(plan.to_bytes()) == plan


def test_a_campaign_that_names_its_services_is_planned_without_a_cluster(tmp_path: Path) -> None:
    plan = planned(tmp_path, attached(), 'services = ["cart"]\nmode = "50%"\nlabels = { track = "stable" }')
    assert {(step.kind, step.mode) for step in plan.steps} == {("network-delay", "50%"), ("pod-kill", "one")}
    assert [step.labels for step in plan.steps] == [{"track": "stable"}] * 6
    with pytest.raises(Unavailable, match=r"takes its services from the cluster that is attached"):
        planned(tmp_path, attached())


def test_only_the_pods_that_a_campaign_names_are_hit(tmp_path: Path) -> None:
    plan = planned(tmp_path, attached(FakeCluster()), 'instances = { cart = ["shop/cart-1"] }')
    hit = {(step.service, step.instances) for step in plan.steps}
    assert hit == {("cart", ("shop/cart-1",)), ("front", ())}


def test_a_request_of_a_campaign_says_which_instances_it_means(tmp_path: Path) -> None:
    context = attached()
    plan = planned(tmp_path, context, 'services = ["cart"]\nlabels = { track = "stable" }')
    step = next(step for step in plan.steps if step.kind == "pod-kill")
    connection = context.connection
    with connection.broker.producer() as producer:
        publisher = Publisher(producer, "client", prefix="", clock=now_us)
        with CampaignFaults(connection, publisher, "pods-1", now_us) as faults:
            faults.request(step, 7)
    (message,) = read_topic(connection.broker, "fault-requests")
    request = decode_as(FaultRequest, message.value or b"")
    assert (request.service, request.mode, request.labels) == ("cart", "one", {"track": "stable"})


@pytest.mark.parametrize(
    ("target", "more", "said"),
    [
        ("", "[[load]]\njourneys_per_s = 4.0", "load: the users of a target in a cluster are its own"),
        ('topology = "sock-shop"', "", "topology is nothing that a target on kubernetes has"),
        ("", "[steady]\nerror_share = 0.1", "target.entry: name the service that users come to"),
        ('mode = "half"', "", "'half' is no mode"),
        ('services = ["cart"]', '[[mix]]\nkind = "app-exception"', "kubernetes can't carry app-exception"),
        ('services = ["cart"]\nwithout = ["cart"]', "", "services"),
    ],
)
def test_what_a_cluster_does_not_have_is_refused(tmp_path: Path, target: str, more: str, said: str) -> None:
    assert said in refusal(tmp_path, target, more)


def test_without_a_mix_or_balanced_a_campaign_on_a_cluster_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.toml"
    head = 'name = "bare"\n[target]\nplatform = "kubernetes"\n[faults]\ncount = 2\n'
    path.write_text(head)
    with pytest.raises(InvalidInput, match="mix: in a cluster, name the kinds"):
        plan_of_campaign(PlanCampaign(name=str(path)), attached(FakeCluster()))
    path.write_text(f'{head}balanced = true\n[[mix]]\nkind = "pod-kill"')
    with pytest.raises(InvalidInput, match="who calls whom in a cluster isn't known"):
        plan_of_campaign(PlanCampaign(name=str(path)), attached(FakeCluster()))


def test_the_file_for_a_cluster_that_the_documentation_shows_is_a_campaign(tmp_path: Path) -> None:
    document = (Path(campaigns.__file__).parents[3] / "docs" / "campaigns.md").read_text(encoding="utf-8")
    path = tmp_path / "pods.toml"
    path.write_text(document.partition("### In a cluster")[2].partition("```toml\n")[2].partition("```")[0])
    plan = plan_of_campaign(PlanCampaign(name=str(path)), attached())
    assert (plan.target, plan.entry, len(plan.steps)) == ("kubernetes", "frontend", 10)
    assert {step.mode for step in plan.steps} == {"one"}


def refused_run(plan: CampaignPlan, cluster: FakeCluster) -> str:
    context = attached(cluster)
    with pytest.raises(InvalidInput) as caught:
        run_campaign(RunCampaign(plan=plan), context)
    assert not list(read_topic(context.connection.broker, "fault-requests"))
    return str(caught.value)


def test_a_fault_that_the_pods_of_now_can_not_have_is_refused_before_the_first_one(tmp_path: Path) -> None:
    cluster = FakeCluster()
    plan = planned(tmp_path, attached(cluster), 'services = ["cart"]')

    def with_first(**changes: Any) -> CampaignPlan:
        first: PlannedStep = replace(plan.steps[0], **changes)
        return replace(plan, steps=(first, *plan.steps[1:]))

    assert "has 3 such instances, not 5" in refused_run(with_first(mode="5"), cluster)
    assert "no instance of cart has the labels track=blue" in refused_run(
        with_first(labels={"track": "blue"}), cluster
    )
    assert "there is no service 'pay'" in refused_run(with_first(service="pay"), cluster)
    assert "the running target can't carry pod-kill" in refused_run(plan, FakeCluster(lacks=("pod-kill",)))


def test_a_campaign_for_a_topology_does_not_run_on_a_cluster(tmp_path: Path) -> None:
    plan = replace(planned(tmp_path, attached(FakeCluster())), target="online-boutique")
    said = refused_run(plan, FakeCluster())
    assert "is for online-boutique, and what runs is kubernetes shop" in said
    assert 'platform = "kubernetes" under [target]' in said


def window(service: str, error_share: float) -> FeatureWindow:
    end_us = now_us()
    return FeatureWindow(
        run_id="run-1",
        service=service,
        start_us=end_us - 5 * SECOND_US,
        end_us=end_us,
        revision=0,
        names=("request/*/count", "request/*/error_share", "request/*/p99_ms"),
        values=(50.0, error_share, 90.0),
    )


def test_the_health_of_a_cluster_is_that_of_the_requests_to_the_service_that_users_come_to() -> None:
    cluster = FakeCluster(pods=[pod("front", 0), replace(pod("cart", 1), is_up=False)])
    connection = attached(cluster).connection
    with TargetHealth(connection, "run-1", "front") as health:
        with connection.broker.producer() as producer:
            for each in (window("front", 0.2), window("cart", 0.9)):
                producer.send("feature-windows", key=each.service.encode(), value=encode(each))
        found = health.read(now_us())
    assert (found.error_share, found.p99_ms, found.requests_per_s) == (0.2, 90.0, 10.0)
    assert found.down == ("shop/cart-1",)
