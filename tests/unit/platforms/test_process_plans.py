"""Of which processes a container is made, and what they are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microservo.domain.geography import Coordinates
from microservo.domain.target_memory import COMPONENT_BYTES, instance_memory_bytes
from microservo.errors import InvalidInput
from microservo.platforms.driver import ContainerPlan, HostPlan
from microservo.platforms.local.components import Component
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.process_plans import ProcessPlans
from microservo.platforms.local.topology_files import read_topology
from microservo.supervision.supervisor import ProcessSpec

HOST = HostPlan(
    name="tokyo-1",
    region="",
    coordinates=Coordinates(35.7, 139.7),
    cpus=1.0,
    memory_bytes=2**30,
    kind="edge",
)
CART = ContainerPlan(id="cart-1", service="cart", host="tokyo-1")


@pytest.fixture
def place(tmp_path: Path) -> LocalPlace:
    path = tmp_path / "one.toml"
    path.write_text('name = "one"\nentry = "cart"\n[services.cart.endpoints.Get]\n')
    return LocalPlace(
        topology=read_topology(str(path)),
        topology_path=path,
        folder=tmp_path,
        otlp_url="http://127.0.0.1:1",
        control_token="secret",
        launcher_url="http://127.0.0.1:7070",
        has_broker=True,
    )


def specs(place: LocalPlace, plan: ContainerPlan, host: HostPlan = HOST) -> list[ProcessSpec]:
    plans = ProcessPlans(place)
    plans.check(plan)
    return plans.specs(plans.launched(plan, host, "us", 7))


def component(plan: ContainerPlan, kind: str) -> ContainerPlan:
    return replace(plan, id=f"{kind}-1", service="any", component=kind, region="Asia")  # type: ignore[arg-type]


def test_an_instance_knows_its_host_its_region_and_which_regions_are_near(place: LocalPlace) -> None:
    sidecar, workload = specs(place, CART)
    assert (sidecar.name, workload.name) == ("cart-1-sidecar", "cart-1")
    told = [each for each in workload.argv if each.startswith(("--host", "--region"))]
    assert told[:3] == ["--host=tokyo-1", "--region=Asia", "--region=Oceania"]
    assert len(told) == 8
    _, named = specs(place, replace(CART, region="Kanto"))
    assert [each for each in named.argv if each.startswith("--region")][:2] == [
        "--region=Kanto",
        "--region=Asia",
    ]


@pytest.mark.parametrize(
    ("kind", "module", "told"),
    [
        ("registry", "services.registry", {"REGISTRY_NAME": "registry-1", "REGISTRY_REGION": "Asia"}),
        ("load-balancer", "services.balancer", {"BALANCER_NAME": "load-balancer-1"}),
        ("worker", "services.manager", {"MANAGER_NAME": "worker-asia", "MANAGER_TAG": "us"}),
    ],
)
def test_a_component_is_one_process_of_ours_with_ports_of_its_own(
    kind: str, module: str, told: dict[str, str], place: LocalPlace
) -> None:
    (first,), (second,) = specs(place, component(CART, kind)), specs(place, component(CART, kind))
    assert module in first.argv
    assert (first.name, first.restart) == (f"{kind}-1", "never")
    assert {name: first.env[f"MICROSERVO_{name}"] for name in told} == told
    assert first.env["MICROSERVO_CONTROL_TOKEN"] == "secret"
    ports = {name for name in first.env if name.endswith("_PORT")}
    assert ports
    assert not {first.env[name] for name in ports} & {second.env[name] for name in ports}


def test_what_a_balancer_has_written_goes_with_it(place: LocalPlace) -> None:
    launched = ProcessPlans(place).launched(component(CART, "load-balancer"), HOST, "us", 7)
    assert isinstance(launched.runs, Component)
    folder = launched.runs.folder
    assert folder is not None
    (folder / "nginx.conf").write_text("")
    assert folder.stat().st_mode & 0o755 == 0o755
    launched.runs.clear()
    assert not folder.exists()


def test_a_component_needs_a_broker_and_a_worker_a_launcher_that_it_can_ask(place: LocalPlace) -> None:
    with pytest.raises(InvalidInput, match="start the launcher with MICROSERVO_BOOTSTRAP_SERVERS"):
        specs(replace(place, has_broker=False), component(CART, "registry"))
    with pytest.raises(InvalidInput, match="needs the address of this launcher"):
        specs(replace(place, launcher_url=""), component(CART, "worker"))


def test_components_are_accounted_like_containers(place: LocalPlace) -> None:
    plans = ProcessPlans(place)
    assert plans.memory_bytes(component(CART, "registry")) == COMPONENT_BYTES
    assert plans.memory_bytes(CART) == instance_memory_bytes(place.topology.services["cart"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "cart-sidecar"}, "can't be an id here"),
        ({"id": "loadgen"}, "can't be an id here"),
        ({"volume": "v"}, "ask for none"),
        ({"service": "tea"}, "there is no service 'tea'"),
    ],
)
def test_what_can_be_on_no_host_is_refused(changes: dict[str, str], said: str, place: LocalPlace) -> None:
    with pytest.raises(InvalidInput, match=said):
        ProcessPlans(place).check(replace(CART, **changes))  # type: ignore[arg-type]
