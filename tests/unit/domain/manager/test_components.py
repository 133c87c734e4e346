"""What a region with containers has besides, seen in a world in virtual time."""

from __future__ import annotations

from decided import AMERICA, ASIA, EUROPE, GIB, command, front, host, hosts_of, reports, world

from microservo.domain.geography import Coordinates
from microservo.domain.manager import events
from microservo.domain.manager.components import REGION_SERVICES
from microservo.domain.manager.entities import Node, Service, Worker
from microservo.domain.manager.simulation import World

BALANCER = Service(name="nginx", type="system", component="load-balancer", memory_bytes=0.01 * GIB)
WORKER = Service(name="foreman", type="system", component="worker", memory_bytes=0.01 * GIB)
MADRID = Coordinates(EUROPE.latitude - 1, EUROPE.longitude)


def launched(*entities: object) -> World:
    """A world with a container of front on host a, in Europe."""
    made = world(host("a", EUROPE), front(minimum_replicas=0), *entities)  # type: ignore[arg-type]
    command(made, "launch", "service/front", host="a")
    made.run(10)
    return made


def names(made: World, service: str) -> list[str]:
    return [each.name for each in made.running.values() if each.service == service]


def test_the_services_that_are_seeded_are_one_of_each_kind_and_no_rules_decide_about_them() -> None:
    assert sorted(each.component for each in REGION_SERVICES) == ["load-balancer", "registry", "worker"]
    assert not any(each.is_governed for each in REGION_SERVICES)


def test_components_that_run_are_entities_and_those_that_do_not_are_none() -> None:
    made = launched(host("b", ASIA), BALANCER, WORKER)
    (balancer,) = names(made, "nginx")
    assert [each.container for each in made.state.of_kind("load-balancer").values()] == [balancer]
    (worker,) = made.state.of_kind("worker").values()
    assert (worker.name, worker.region, worker.host) == ("worker-europe", "Europe", "a")
    command(made, "stop", f"container/{names(made, 'front')[0]}")
    made.run(320)
    assert not made.running
    assert not made.state.of_kind("load-balancer")
    assert not made.state.of_kind("worker")


def test_a_component_that_is_killed_is_back_at_once_in_its_region() -> None:
    made = launched(host("b", ASIA), BALANCER)
    (first,) = names(made, "nginx")
    made.kill(first)
    made.run(4)
    (second,) = names(made, "nginx")
    assert second != first
    assert hosts_of(made, "nginx") == ["a"]
    assert [each.container for each in made.state.of_kind("load-balancer").values()] == [second]


def test_a_component_that_ends_again_and_again_is_given_up_until_somebody_deletes_it() -> None:
    made = launched(host("b", ASIA), BALANCER)
    for _ in range(4):
        (name,) = names(made, "nginx")
        made.kill(name)
        made.run(5)
    assert not names(made, "nginx")
    (said,) = reports(made, "recover", "given_up")
    assert "brought back 3 times" in said.reason
    made.run(100)
    assert not names(made, "nginx")
    command(made, "delete", said.entity)
    made.run(10)
    assert len(names(made, "nginx")) == 1


def test_a_component_that_starts_nowhere_is_tried_in_its_region_alone_and_given_up() -> None:
    made = world(host("a", EUROPE), host("b", ASIA), host("c", AMERICA), front(minimum_replicas=0), BALANCER)
    made.unstartable.add("nginx")
    command(made, "launch", "service/front", host="a")
    made.run(120)
    tried = [each.to_host for each in reports(made, "launch") + reports(made, "recover") if each.to_host]
    assert set(tried) == {"a"}
    assert len(reports(made, "recover", "given_up")) == 1


def test_where_its_host_fails_a_component_runs_on_another_one_of_its_region() -> None:
    made = launched(host("a-2", MADRID), host("b", ASIA), BALANCER)
    command(made, "launch", "service/front", host="a-2")
    made.run(10)
    (where,) = hosts_of(made, "nginx")
    made.fail([where])
    made.run(20)
    assert hosts_of(made, "nginx") == [({"a", "a-2"} - {where}).pop()]


def test_a_component_keeps_no_drained_host_from_leaving() -> None:
    made = launched(host("a-2", MADRID), BALANCER)
    (where,) = hosts_of(made, "nginx")
    command(made, "drain", f"host/{where}")
    made.run(60)
    command(made, "leave", f"host/{where}")
    made.run(30)
    assert not reports(made, "leave", "refused")
    assert where not in made.state.nodes
    assert len(hosts_of(made, "nginx")) == 1


def test_hosts_of_a_regions_worker_are_the_masters_before_it_is_stopped() -> None:
    made = launched(WORKER)
    (front_name,) = names(made, "front")
    # Nobody plays the worker here, so what it owned is nobody's to stop: the container is stopped before.
    command(made, "stop", f"container/{front_name}")
    made.run(10)
    command(made, "assign", "host/a", worker="worker-europe")
    made.run(1)
    (worker,) = names(made, "foreman")
    assert made.state.hosts["a"].worker == "worker-europe"
    assert made.state.containers[worker].managed_by == "master", "it could not bring itself back"
    made.run(300)
    assert made.state.hosts["a"].worker == ""
    made.run(10)
    assert not made.running
    given_back, stopped = reports(made, "assign")[-1], reports(made, "stop")[-1]
    assert (given_back.entity, stopped.container) == ("host/a", worker)
    assert given_back.at_us + 5_000_000 <= stopped.at_us


def test_a_region_keeps_its_components_while_a_container_waits_there_to_come_back() -> None:
    made = launched(BALANCER)
    (front_name,) = names(made, "front")
    full = Node(host="a", availability="pause")
    made.tell(events.EntityChanged(now_us=made.now_us, key="node/a", entity=full, owner="master"))
    made.kill(front_name)
    made.run(400)
    assert names(made, "front") == []
    assert len(names(made, "nginx")) == 1
    command(made, "delete", f"container/{front_name}")
    made.run(320)
    assert not made.running


def test_a_region_whose_worker_somebody_else_runs_gets_no_other_one() -> None:
    made = launched(Worker(name="mine", region="Europe"), WORKER, BALANCER)
    assert hosts_of(made, "nginx") == ["a"]
    assert hosts_of(made, "foreman") == []
