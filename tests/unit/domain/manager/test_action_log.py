"""Acts of placement as facts, seen in a world in virtual time: each from its decision to its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from decided import ASIA, EUROPE, GIB, command, container, front, host, requests, rule

from microservo.domain.manager import events
from microservo.domain.manager.action_log import ActionLog
from microservo.domain.manager.decide import decide
from microservo.domain.manager.entities import Container, Entity, Settings, entity_key
from microservo.domain.manager.simulation import Demand, World
from microservo.domain.manager.state import SystemState
from schemas.records import ControlCommand, ServiceAction

S = 1_000_000
FIRST_US = 1_700_000_000_000_000


class Watched(World):
    """A world whose manager's acts are put down."""

    def __init__(self, *entities: Entity | Iterable[Entity], demand: Demand | None = None) -> None:
        self.log = ActionLog()
        self.told: list[ServiceAction] = []
        found: list[Entity] = []
        for each in entities:
            found += each if isinstance(each, list) else [each]  # type: ignore[list-item]
        super().__init__(found, demand=demand)
        self.run(6)

    def tell(self, event: events.Event) -> None:
        number = len(self.decisions)
        super().tell(event)
        self.log.observe(event, self.decisions[number], self.state)
        self.told += self.log.news()

    def newest(self) -> list[ServiceAction]:
        """What was told last of each act, in order of the decisions."""
        return list({each.decision_id: each for each in self.told}.values())


def seconds(act: ServiceAction, since_us: int) -> tuple[float | None, ...]:
    """When it began, served and ended."""
    times = (act.begun_us, act.serving_us, act.ended_us)
    return tuple(None if each is None else (each - since_us) / S for each in times)


def test_a_move_by_a_rule_begins_with_the_launch_there_and_ends_when_the_old_one_is_gone() -> None:
    made = Watched(
        Settings(migration_delay_us=10 * S),
        host("berlin", EUROPE),
        host("tokyo", ASIA),
        front(),
        container("c", "berlin", EUROPE),
        rule("migrate", ">=", 0.0),
        demand=requests(10.0, ASIA),
    )
    made.run(60)
    (move,) = made.newest()
    assert (move.what, move.outcome, move.is_final) == ("move", "done", True)
    assert (move.origin, move.decided_by, move.policy, move.manager) == (
        "rule",
        "migrate-rule",
        "rules",
        "master",
    )
    assert move.why.startswith("cpu-% ")
    assert (move.service, move.replaces) == ("front", "c")
    assert (move.from_host, move.from_region, move.to_host, move.to_region) == (
        "berlin",
        "Europe",
        "tokyo",
        "Asia",
    )
    assert move.container in made.running
    assert move.begun_us == move.decided_us
    begun, serving, ended = seconds(move, move.decided_us)
    assert (begun, serving) == (0, 2)
    assert ended is not None
    assert ended >= 13, "launched for 2 s, beside the old one for 10 s, stopped for 1 s"
    assert move.cost_host_s == ended
    assert [each.version for each in made.told] == list(range(1, len(made.told) + 1))
    assert {each.run_id for each in made.told} == {""}


def test_a_launch_by_a_command_says_who_gave_it_and_ends_when_it_serves() -> None:
    made = Watched(host("berlin", EUROPE), front(minimum_replicas=0))
    command(made, "launch", "service/front", host="berlin")
    made.run(5)
    (launch,) = made.newest()
    assert (launch.what, launch.origin, launch.decided_by) == ("launch", "command", "ana")
    assert (launch.from_host, launch.to_host, launch.replaces) == ("", "berlin", "")
    assert seconds(launch, launch.decided_us) == (0, 2, 2)
    assert (launch.outcome, launch.cost_host_s, launch.requests_lost) == ("done", 2.0, None)


def test_the_minimum_of_replicas_is_a_duty_and_one_more_of_a_rule_a_replica() -> None:
    made = Watched(host("berlin", EUROPE), front(minimum_replicas=1))
    (launch,) = made.newest()
    assert (launch.what, launch.origin, launch.decided_by) == ("launch", "duty", "minimum replicas")
    assert launch.why == "0 of at least 1 replicas"
    busy = Watched(
        host("berlin", EUROPE),
        front(maximum_replicas=2),
        container("c", "berlin", EUROPE),
        rule("replicate", ">=", 0.0),
    )
    busy.run(60)
    (more,) = busy.newest()
    assert (more.what, more.origin, more.decided_by) == ("replicate", "rule", "replicate-rule")


def test_one_that_ended_is_recovered_by_the_next_in_its_place() -> None:
    made = Watched(host("tokyo", ASIA), front(), container("c", "tokyo", ASIA))
    made.kill("c")
    made.run(4)
    (recovered,) = made.newest()
    assert (recovered.what, recovered.origin, recovered.decided_by) == ("recover", "duty", "recovery")
    assert (recovered.replaces, recovered.from_host, recovered.to_host) == ("c", "tokyo", "tokyo")
    assert (recovered.outcome, recovered.why) == ("done", "it was killed")


def test_a_stop_ends_when_the_container_is_gone() -> None:
    made = Watched(host("berlin", EUROPE), front(minimum_replicas=0), container("c", "berlin", EUROPE))
    command(made, "stop", "container/c")
    made.run(3)
    (stop,) = made.newest()
    assert (stop.what, stop.origin, stop.decided_by, stop.container) == ("stop", "command", "ana", "c")
    assert (stop.from_host, stop.to_host, stop.outcome, stop.is_final) == ("berlin", "", "done", True)
    assert seconds(stop, stop.decided_us) == (0, None, 1)


def test_each_host_on_which_it_could_not_be_launched_is_an_act_that_failed() -> None:
    made = Watched(*(host(f"h-{number}", EUROPE) for number in range(8)), front(minimum_replicas=0))
    made.unstartable.add("front")
    command(made, "launch", "service/front", latitude="49", longitude="9")
    made.run(60)
    acts = made.newest()
    assert [each.what for each in acts] == ["launch"] * 5
    assert len({each.to_host for each in acts}) == 5
    assert {(each.origin, each.decided_by) for each in acts} == {("command", "ana")}
    assert {(each.outcome, each.is_final, each.serving_us) for each in acts} == {("failed", True, None)}


def test_requests_lost_are_what_the_driver_counted() -> None:
    made = Watched(host("berlin", EUROPE), front(minimum_replicas=0), container("c", "berlin", EUROPE))
    command(made, "stop", "container/c")
    del made.running["c"]
    made.tell(events.ContainerStopped(now_us=made.now_us + 1, container="c", requests_lost=3))
    (stop,) = made.newest()
    assert (stop.outcome, stop.requests_lost, stop.is_final) == ("done", 3, True)


def test_what_the_driver_counted_comes_as_another_version_where_the_end_was_seen_before() -> None:
    made = Watched(host("berlin", EUROPE), front(minimum_replicas=0), container("c", "berlin", EUROPE))
    command(made, "stop", "container/c")
    del made.running["c"]
    made.tell(events.ContainerEnded(now_us=made.now_us + 1, container="c", reason="it is there no more"))
    seen = made.told[-1]
    assert (seen.outcome, seen.requests_lost, seen.is_final) == ("done", None, False)
    made.tell(events.ContainerStopped(now_us=made.now_us + 2, container="c", requests_lost=0))
    counted = made.told[-1]
    assert counted == replace(seen, version=seen.version + 1, requests_lost=0, is_final=True)


def test_a_container_that_can_not_be_stopped_is_a_stop_that_failed() -> None:
    made = Watched(host("berlin", EUROPE), front(minimum_replicas=0), container("c", "berlin", EUROPE))
    command(made, "stop", "container/c")
    made.tell(events.StopFailed(now_us=made.now_us + 1, container="c", reason="berlin is cut off"))
    (stop,) = made.newest()
    assert (stop.outcome, stop.is_final, stop.requests_lost) == ("failed", True, None)


def test_a_move_whose_new_container_ends_before_the_old_one_is_gone_has_failed() -> None:
    made = Watched(host("berlin", EUROPE), host("tokyo", ASIA), front(), container("c", "berlin", EUROPE))
    command(made, "migrate", "container/c", host="tokyo")
    made.run(5)
    (move,) = made.newest()
    assert (move.outcome, move.serving_us is not None, move.ended_us) == ("open", True, None)
    made.kill(move.container)
    assert [each.outcome for each in made.newest() if each.what == "move"] == ["failed"]


def test_the_old_container_of_a_move_is_no_stop_of_its_own() -> None:
    made = Watched(
        Settings(migration_delay_us=2 * S),
        host("berlin", EUROPE),
        host("tokyo", ASIA),
        front(),
        container("c", "berlin", EUROPE),
    )
    command(made, "migrate", "container/c", host="tokyo")
    made.run(20)
    assert [(each.what, each.outcome, each.decided_by) for each in made.newest()] == [("move", "done", "ana")]
    assert list(made.running) == [made.newest()[0].container]


def test_an_old_container_that_ends_by_itself_ends_the_move_as_soon_as_the_new_one_serves() -> None:
    made = Watched(host("berlin", EUROPE), host("tokyo", ASIA), front(), container("c", "berlin", EUROPE))
    command(made, "migrate", "container/c", host="tokyo")
    made.kill("c")
    made.run(5)
    (move,) = made.newest()
    assert (move.what, move.outcome) == ("move", "done")
    assert move.ended_us == move.serving_us


def test_one_that_waits_for_the_host_of_its_volume_begins_when_that_is_back() -> None:
    made = Watched(
        host("a", EUROPE),
        front(is_stateful=True, minimum_replicas=0),
        container("c", "a", EUROPE),
    )
    made.fail(["a"])
    made.run(30)
    (waits,) = made.newest()
    assert (waits.what, waits.outcome, waits.begun_us, waits.to_host) == ("recover", "open", None, "a")
    made.down.clear()
    made.tell(events.HostUp(now_us=made.now_us, host="a"))
    made.tell(events.ContainersFound(now_us=made.now_us, host="a", running=frozenset()))
    made.run(5)
    (back,) = made.newest()
    assert (back.outcome, back.decision_id) == ("done", waits.decision_id)
    assert back.begun_us is not None
    assert back.begun_us > back.decided_us + 30 * S - 1


def master_of_a_worker() -> tuple[SystemState, ActionLog]:
    """A master with a host of its own, and one of a worker."""
    state, log = SystemState(), ActionLog()
    found: list[Entity] = [*host("a", EUROPE), *host("b", ASIA, worker="w-asia"), front(minimum_replicas=0)]
    for entity in found:
        owner = getattr(entity, "worker", "") or "master"
        tell(
            state,
            log,
            events.EntityChanged(now_us=FIRST_US, key=entity_key(entity), entity=entity, owner=owner),
        )
    tell(state, log, events.CaughtUp(now_us=FIRST_US))
    columns = {name: np.array([value]) for name, value in (("cpu-%", 1.0), ("ram-available", 8 * GIB))}
    columns["disk-available"] = np.array([100 * GIB])
    tell(state, log, events.HostsMeasured(now_us=FIRST_US + 1, names=("b",), columns=columns))
    return state, log


def tell(state: SystemState, log: ActionLog, event: events.Event) -> list[ServiceAction]:
    log.observe(event, decide(state, event), state)
    return log.news()


def given(command: ControlCommand, now_us: int) -> events.CommandGiven:
    return events.CommandGiven(now_us=now_us, command=command)


LAUNCH = ControlCommand(
    command_id="launch-1",
    entity="service/front",
    action="launch",
    requested_at_us=FIRST_US,
    requested_by="ana",
    arguments={"host": "b"},
)


def changed(entity: Container, now_us: int) -> events.EntityChanged:
    return events.EntityChanged(now_us=now_us, key=entity_key(entity), entity=entity, owner="w-asia")


def test_the_master_tells_of_what_it_decided_and_a_worker_does_by_what_the_worker_writes() -> None:
    state, log = master_of_a_worker()
    (decided,) = tell(state, log, given(LAUNCH, FIRST_US + 2))
    assert (decided.begun_us, decided.to_host, decided.manager) == (None, "b", "master")
    waiting = state.containers[decided.container]
    assert waiting.managed_by == "w-asia"
    (begun,) = tell(state, log, changed(replace(waiting, state="starting"), FIRST_US + 1 * S))
    assert begun.begun_us == FIRST_US + 1 * S
    running = replace(waiting, state="running", started_at_us=FIRST_US + 3 * S)
    (done,) = tell(state, log, changed(running, FIRST_US + 4 * S))
    assert (done.serving_us, done.ended_us, done.outcome) == (FIRST_US + 3 * S, FIRST_US + 3 * S, "done")


def test_who_was_ordered_by_another_manager_to_stop_a_container_says_nothing_of_it() -> None:
    state, log = SystemState("w-asia"), ActionLog()
    mine: list[Entity] = [*host("b", ASIA, worker="w-asia"), front(minimum_replicas=0)]
    mine.append(container("c", "b", ASIA, managed_by="w-asia"))
    for entity in mine:
        tell(
            state,
            log,
            events.EntityChanged(now_us=FIRST_US, key=entity_key(entity), entity=entity, owner="w-asia"),
        )
    tell(state, log, events.Heartbeat(now_us=FIRST_US, name="master"))
    tell(state, log, events.CaughtUp(now_us=FIRST_US))
    ordered = ControlCommand(
        command_id="master-stop-0a1b2c3d4e",
        entity="container/c",
        action="stop",
        requested_at_us=FIRST_US,
        requested_by="master",
    )
    assert tell(state, log, given(ordered, FIRST_US + 1)) == []
    assert state.containers["c"].state == "stopping"


def test_the_next_life_ends_what_the_one_before_left_open_by_what_there_is_now() -> None:
    made = Watched(
        Settings(migration_delay_us=2 * S),
        host("berlin", EUROPE),
        host("tokyo", ASIA),
        front(),
        container("c", "berlin", EUROPE),
    )
    command(made, "migrate", "container/c", host="tokyo")
    made.run(4)
    (left,) = made.newest()
    assert left.outcome == "open"
    next_life = ActionLog()
    next_life.resume([replace(left, run_id="run")], made.state, made.now_us)
    assert next_life.news() == [], "it still goes on"
    made.log = next_life
    made.run(10)
    (done,) = made.newest()
    assert (done.outcome, done.version, done.begun_us) == ("done", left.version + 1, left.begun_us)


def test_what_ended_between_two_lives_ends_when_the_next_one_looks() -> None:
    made = Watched(host("berlin", EUROPE), front(minimum_replicas=0))
    command(made, "launch", "service/front", host="berlin")
    begun = made.told[-1]
    made.run(5)
    lost = replace(begun, decision_id="launch-gone", container="gone")
    counted = replace(begun, decision_id="stop-ended", what="stop", ended_us=made.now_us, outcome="done")
    next_life = ActionLog()
    next_life.resume(
        [begun, lost, counted, replace(begun, decision_id="final", is_final=True)], made.state, made.now_us
    )
    found = {each.decision_id: each for each in next_life.news()}
    assert found.keys() == {begun.decision_id, "launch-gone", "stop-ended"}
    assert (found[begun.decision_id].outcome, found[begun.decision_id].version) == ("done", begun.version + 1)
    assert (found["launch-gone"].outcome, found["launch-gone"].ended_us) == ("failed", made.now_us)
    assert (found["stop-ended"].outcome, found["stop-ended"].is_final) == ("done", True)
    assert found["stop-ended"].requests_lost is None
