"""Requests, confirmations, failures and verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput, Retryable
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import FaultRequest, ServiceGraph
from tests.unit.fault_injector.harness import (
    NOW_US,
    SECOND_US,
    Running,
    World,
    message,
    request,
    stop,
    verdict,
)

WHOLE_STORY = ["requested", "scheduled", "applying", "active", "recovering", "recovered"]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def running(world: World) -> Running:
    return Running(world).tick()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_applied_and_recovered(world: World, running: Running, kind: str) -> None:
    running.ask(request(kind=kind, parameters=dict(KINDS[kind].strong))).tick().pass_s(11)
    assert world.states() == WHOLE_STORY
    assert world.mechanism.active == set()


def test_times_are_those_that_the_mechanism_confirmed(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(11)
    last = world.events()[-1]
    assert last.apply_commanded_at_us == NOW_US
    assert last.applied_at_us == NOW_US + 10
    assert last.recovery_commanded_at_us is not None
    assert last.recovered_at_us is not None
    late_us = last.recovery_commanded_at_us - (NOW_US + 10 + 10 * SECOND_US)
    assert 0 <= late_us <= 100_000
    assert last.recovered_at_us > last.recovery_commanded_at_us
    assert last.recovery_evidence == "out of force"
    assert last.parameters == {"latency_us": "300000", "jitter_us": "0", "peer": ""}


def test_a_kill_is_over_when_the_instance_is_back(world: World, running: Running) -> None:
    world.mechanism.errors["recover", "cart-0"] = [Retryable("not yet")] * 2
    running.ask(request(kind="process-kill", parameters={}, duration_us=0)).see("cart-0", "down").pass_s(60)
    assert world.states()[-1] == "recovering"
    assert len(world.mechanism.attempts("recover")) == 1
    running.see("cart-0", "up").pass_s(0.1)
    assert world.states() == WHOLE_STORY
    assert len(world.mechanism.attempts("recover")) == 3


def test_a_fault_in_force_is_not_asked_about_again_and_again(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(9)
    assert world.mechanism.attempts("holds") == []


def test_what_was_observed_behind_a_busy_broker_is_not_lost(
    world: World, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        msg = "the queue is full"
        raise Retryable(msg)

    world.put("service-graph", b"rubbish", encode(graph("checkout", "cart")))
    with monkeypatch.context() as patched:
        patched.setattr(running.producer, "send", busy)
        with pytest.raises(Retryable):
            running.tick()
    running.tick().ask(request())
    assert [each.value for each in world.messages("service-graph-dlq")] == [b"rubbish"]
    assert world.faults("checkout") != []


def test_every_exposed_service_gets_a_record_and_so_do_the_users(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(11)
    root, caller, users = world.faults("cart"), world.faults("front"), world.faults("loadgen")
    assert [each.version for each in root] == [each.version for each in caller] == [3, 4, 5, 6]
    assert {(each.role, each.relation, each.hops) for each in root} == {("root_cause", "root", 0)}
    assert {(each.role, each.relation, each.hops) for each in caller} == {("exposed", "caller", 1)}
    assert {(each.role, each.relation, each.hops) for each in users} == {("exposed", "user", 2)}
    assert {each.root_service for each in caller} == {"cart"}
    assert root[0].applied_at_us is None
    assert root[1].applied_at_us == NOW_US + 10
    assert root[3].recovered_at_us is not None
    assert root[3].parameters == {"latency_us": "300000", "jitter_us": "0", "peer": ""}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].on_telemetry])
def test_a_service_whose_telemetry_is_broken_is_the_root_cause_and_nobody_else_is_exposed(
    world: World, running: Running, kind: str
) -> None:
    running.ask(request(kind=kind, parameters=dict(KINDS[kind].strong))).tick().pass_s(11)
    root = world.faults("cart")
    assert [each.version for each in root] == [3, 4, 5, 6]
    assert {(each.role, each.relation, each.hops) for each in root} == {("root_cause", "root", 0)}
    assert root[-1].applied_at_us == NOW_US + 10
    assert world.faults("front") == world.faults("loadgen") == []


def test_a_record_says_on_which_instances_the_fault_is_in_force_since_when(
    world: World, running: Running
) -> None:
    world.mechanism.errors["recover", "cart-1"] = [Retryable("silent")] * 4
    running.ask(request(instances=())).tick().pass_s(12)
    versions = world.faults("front")
    assert (versions[0].instances, versions[0].applied_us) == ((), ())
    half = next(each for each in versions if any(each.recovered_us))
    assert half.instances == ("cart-0", "cart-1")
    assert half.recovered_us[0] > 0
    assert half.recovered_us[1] == 0
    assert half.recovered_at_us is None
    last = versions[-1]
    assert min(last.applied_us) == last.applied_at_us
    assert max(last.recovered_us) == last.recovered_at_us


def test_who_is_first_seen_in_calls_during_a_fault_is_exposed_too_and_nobody_is_taken_away(
    world: World, running: Running
) -> None:
    running.injector.observe_graph(graph("checkout", "cart"))
    running.ask(request()).tick()
    running.injector.observe_graph(graph("newcomer", "cart"))
    running.tick()
    [joined] = world.faults("newcomer")
    assert (joined.relation, joined.hops, joined.applied_at_us) == ("caller", 1, NOW_US + 10)
    for number in range(12):
        running.injector.observe_graph(graph(f"other-{number}", "elsewhere"))
    running.pass_s(11)
    assert len(world.faults("checkout")) == 4
    assert world.faults("newcomer")[-1].recovered_at_us is not None
    assert world.faults("other-0") == world.faults("front") == []


def test_calls_that_were_made_after_the_end_expose_nobody(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(11)
    later = graph("newcomer", "cart")
    running.injector.observe_graph(replace(later, start_us=later.start_us + 15 * SECOND_US))
    running.tick()
    assert world.faults("newcomer") == []


def test_the_target_is_not_touched_before_the_story_is_durable(
    world: World, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(timeout_s: float) -> None:
        msg = "the broker is busy"
        raise Retryable(msg)

    running.ask(request(start_at_us=NOW_US + SECOND_US))
    world.clock.advance(SECOND_US)
    with monkeypatch.context() as patched:
        patched.setattr(running.producer, "flush", busy)
        with pytest.raises(Retryable):
            running.tick()
        assert world.mechanism.attempts("apply") == []
    running.tick()
    assert world.mechanism.attempts("apply") == [("cart-0", "f-1")]
    assert [each.version for each in world.events()] == [1, 2, 3, 4]


def test_several_instances_begin_with_the_first_and_end_with_the_last(world: World, running: Running) -> None:
    world.mechanism.errors["recover", "cart-1"] = [Retryable("silent")] * 4
    running.ask(request(instances=())).tick().pass_s(13)
    ends = {each.instance: each for each in world.events() if each.state == "recovered"}
    last = world.faults("cart")[-1]
    assert last.applied_at_us == min(each.applied_at_us or 0 for each in ends.values())
    assert last.recovered_at_us == ends["cart-1"].recovered_at_us
    assert (ends["cart-1"].recovered_at_us or 0) > (ends["cart-0"].recovered_at_us or 0)


def test_two_faults_on_one_target_are_both_labelled(world: World, running: Running) -> None:
    running.ask(request("f-1")).tick()
    running.ask(request("f-2", kind="cpu-hog", parameters={})).tick()
    assert world.mechanism.active == {("cart-0", "f-1"), ("cart-0", "f-2")}
    running.pass_s(11)
    for fault_id in ("f-1", "f-2"):
        assert world.states(fault_id) == WHOLE_STORY
        assert world.faults("cart", fault_id)[-1].recovered_at_us is not None


def test_a_later_start_is_waited_for(world: World, running: Running) -> None:
    running.ask(request(start_at_us=NOW_US + 5 * SECOND_US)).tick().pass_s(4)
    assert world.states() == ["requested", "scheduled"]
    running.pass_s(2)
    assert world.states()[-1] == "active"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "magic"}, "no kind 'magic'"),
        ({"service": "nobody"}, "no service 'nobody'"),
        ({"instances": ("cart-9",)}, "no instance of cart 'cart-9'"),
        ({"duration_us": -1}, "the duration is -1"),
        ({"parameters": {"latency": "300"}}, "not understood"),
        ({"parameters": {}}, "needs the parameter 'latency'"),
        ({"requested_at_us": NOW_US - 61 * SECOND_US}, "in the past"),
    ],
)
def test_what_can_not_be_is_refused_and_touches_nothing(
    world: World, running: Running, changes: dict[str, Any], reason: str
) -> None:
    running.ask(request(**changes)).tick().pass_s(1)
    [event] = world.events()
    assert event.state == "rejected"
    assert reason in event.reason
    assert world.mechanism.attempts("apply") == []
    assert world.faults("cart") == []


def test_a_bad_id_is_refused_under_what_fits_of_it(world: World, running: Running) -> None:
    running.ask(request("x" * 1000))
    [event] = world.events("x" * 64)
    assert "fault id" in event.reason


def test_without_a_target_requests_are_refused(world: World, running: Running) -> None:
    world.mechanism.has_target = False
    running.ask(request())
    assert world.events()[-1].reason == "no target is running"


def test_a_corrected_request_may_take_the_id_of_a_refused_one(world: World, running: Running) -> None:
    running.ask(request(kind="magic")).ask(request()).tick()
    assert world.states() == ["rejected", "requested", "scheduled", "applying", "active"]
    assert [each.version for each in world.events()] == [1, 2, 3, 4, 5]


def test_a_request_that_is_read_twice_is_carried_out_once(world: World, running: Running) -> None:
    running.ask(request()).ask(request()).tick()
    assert world.states() == WHOLE_STORY[:4]
    assert len(world.mechanism.attempts("apply")) == 1


def test_a_refused_request_that_is_read_twice_is_refused_once(world: World, running: Running) -> None:
    running.ask(request(kind="magic")).ask(request(kind="magic"))
    assert world.states() == ["rejected"]


def test_another_request_of_a_taken_id_is_refused_and_changes_nothing(world: World, running: Running) -> None:
    running.ask(request()).tick()
    running.ask(request(parameters={"latency": "5ms"})).tick()
    assert "is taken" in world.events()[-1].reason
    running.pass_s(11)
    assert world.states()[-2:] == ["recovering", "recovered"]
    assert [each.version for each in world.events()] == [1, 2, 3, 4, 5, 6, 7]


def test_a_stop_ends_a_fault_before_its_time(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(1)
    running.ask(stop()).tick()
    assert world.states()[-2:] == ["recovering", "stopped"]
    last = world.events()[-1]
    assert last.reason == "stopped by request"
    assert last.recovered_at_us is not None
    assert world.mechanism.active == set()
    running.pass_s(11)
    assert world.states()[-1] == "stopped"


def test_a_stop_before_the_start_touches_nothing(world: World, running: Running) -> None:
    running.ask(request(start_at_us=NOW_US + 5 * SECOND_US)).ask(stop()).tick().pass_s(6)
    assert world.states() == ["requested", "scheduled", "stopped"]
    assert world.mechanism.attempts("apply") == []
    running.ask(stop())
    assert world.states()[-1] == "stopped"


def test_a_stop_while_it_is_being_applied_follows_the_confirmation(world: World, running: Running) -> None:
    running.workers.held = True
    running.ask(request()).tick()
    running.ask(stop()).tick()
    assert world.states()[-1] == "applying"
    running.workers.held = False
    running.tick()
    assert world.states()[-3:] == ["active", "recovering", "stopped"]


@pytest.mark.parametrize("before", [[], [request()]])
def test_a_stop_of_what_is_not_there_is_refused(
    world: World, running: Running, before: list[FaultRequest]
) -> None:
    for each in before:
        running.ask(each).tick().pass_s(12)
    running.ask(stop())
    assert world.events()[-1].state == "rejected"
    assert "nothing to stop" in world.events()[-1].reason


def test_an_application_that_is_refused_fails_and_ends(world: World, running: Running) -> None:
    world.mechanism.errors["apply", "cart-0"] = [InvalidInput("not enough memory")]
    running.ask(request()).tick()
    assert world.states()[-3:] == ["applying", "recovering", "failed"]
    last = world.events()[-1]
    assert "not enough memory" in last.reason
    assert last.applied_at_us is None
    assert last.verdict == "inconclusive"
    assert world.faults("front")[-1].recovered_at_us == last.recovered_at_us is not None


def test_a_silent_instance_is_asked_again_for_a_while(world: World, running: Running) -> None:
    world.mechanism.errors["apply", "cart-0"] = [Retryable("silent")] * 3
    running.ask(request()).tick().pass_s(2)
    assert world.states()[-1] == "active"


def test_a_lastingly_silent_instance_fails_and_is_recovered(world: World, running: Running) -> None:
    world.mechanism.errors["apply", "cart-0"] = [Retryable("silent")] * 100
    running.ask(request()).tick().pass_s(8)
    assert world.states()[-1] == "failed"
    assert world.mechanism.attempts("recover") == [("cart-0", "f-1")]


def test_a_mechanism_that_breaks_fails_the_fault_and_not_the_injector(
    world: World, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        msg = "bug"
        raise RuntimeError(msg)

    monkeypatch.setattr(world.mechanism, "apply", broken)
    running.ask(request()).tick()
    assert "broke with RuntimeError: bug" in world.events()[-1].reason


def test_recovery_is_tried_at_short_intervals_until_it_is_confirmed(world: World, running: Running) -> None:
    world.mechanism.errors["recover", "cart-0"] = [Retryable("silent")] * 40
    running.ask(request()).tick().pass_s(11)
    assert world.states()[-1] == "recovering"
    running.pass_s(3)
    assert world.states()[-1] == "recovered"
    last = world.events()[-1]
    took_us = (last.recovered_at_us or 0) - (last.recovery_commanded_at_us or 0)
    assert took_us <= 40 * 50_000 + 100_000


def test_a_fault_that_a_restarted_instance_lost_is_applied_again(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(2)
    running.see("cart-0", "down")
    world.mechanism.active.clear()
    running.see("cart-0", "up")
    assert world.mechanism.active == {("cart-0", "f-1")}
    again = world.events()[-1]
    assert again.state == "active"
    assert again.apply_evidence == "in force; applied again, as it was no longer in force: in force"
    assert again.applied_at_us == NOW_US + 10
    running.pass_s(10)
    assert world.states()[-1] == "recovered"


def test_a_fault_that_a_restarted_instance_refuses_is_stopped_and_says_so(
    world: World, running: Running
) -> None:
    running.ask(request()).tick().see("cart-0", "down")
    world.mechanism.active.clear()
    world.mechanism.errors["apply", "cart-0"] = [InvalidInput("not enough memory")]
    running.see("cart-0", "up")
    assert world.states()[-2:] == ["recovering", "stopped"]
    assert world.events()[-1].reason == (
        "could not be applied again, after the instance had lost it: not enough memory"
    )


def test_a_fault_is_looked_for_until_the_restarted_instance_answers(world: World, running: Running) -> None:
    running.ask(request()).tick().see("cart-0", "down")
    world.mechanism.active.clear()
    world.mechanism.errors["holds", "cart-0"] = [Retryable("not listening yet")] * 3
    running.see("cart-0", "up").pass_s(1)
    assert world.mechanism.active == {("cart-0", "f-1")}
    assert "applied again" in world.events()[-1].apply_evidence


def test_an_instance_that_is_gone_holds_no_fault(world: World, running: Running) -> None:
    running.ask(request()).tick()
    world.mechanism.gone.add("cart-0")
    running.pass_s(11)
    assert world.events()[-1].recovery_evidence == "the instance is gone"


def test_the_verdict_of_the_observer_is_in_later_versions_of_the_story(
    world: World, running: Running
) -> None:
    running.ask(request()).tick()
    world.put("fault-effects", encode(verdict(1, verdict="pending", effect_seen_at_us=None)))
    world.put("fault-effects", encode(verdict(2)), None)
    running.pass_s(11)
    final = verdict(3, normal_at_us=NOW_US + 11 * SECOND_US, normal_within_us=5, is_final=True)
    # What the observer publishes may be read again, and out of order.
    world.put("fault-effects", encode(final), encode(verdict(2)), encode(final))
    running.tick()
    told = [(each.state, each.verdict, each.verdict_version) for each in world.events()][3:]
    assert told == [
        ("active", "pending", 0),
        ("active", "pending", 1),
        ("active", "confirmed", 2),
        ("recovering", "confirmed", 2),
        ("recovered", "confirmed", 2),
        ("recovered", "confirmed", 3),
    ]
    last = world.events()[-1]
    assert (last.effect_seen_at_us, last.effect_seen_within_us) == (NOW_US + 700, 600)
    assert (last.normal_at_us, last.normal_within_us) == (NOW_US + 11 * SECOND_US, 5)


def test_what_apply_recovery_and_observer_reported_is_kept_apart(world: World, running: Running) -> None:
    running.ask(request()).tick()
    world.mechanism.count = 42
    running.pass_s(11)
    world.put("fault-effects", encode(verdict(1, is_final=True)))
    running.tick()
    last = world.events()[-1]
    assert last.apply_evidence == "in force"
    assert last.recovery_evidence == "out of force"
    assert last.effect_evidence == "front: calls to cart went from 3 to 310 ms"
    assert (last.applied_within_us, last.recovered_within_us, last.acted) == (10, 10, 42)
    [root] = [each for each in world.faults("cart") if each.recovered_at_us]
    assert (root.applied_within_us, root.recovered_within_us, root.acted) == (10, 10, 42)


def counts(world: World) -> list[tuple[str, int | None]]:
    return [(each.state, each.acted) for each in world.events()]


def test_that_a_fault_acts_is_known_while_it_goes_on(world: World, running: Running) -> None:
    world.mechanism.count = 0
    running.ask(request()).tick().pass_s(3)
    assert counts(world)[-1] == ("active", 0), "nothing has come yet"
    world.mechanism.count = 4
    running.pass_s(1.5)
    assert counts(world)[-1] == ("active", 4)
    [first] = [each for each in world.faults("cart") if each.acted == 4]
    assert first.recovered_at_us is None
    assert [each.acted for each in world.faults("front") if each.acted == 4] == [4]


def test_a_count_that_grows_is_published_seldom(world: World, running: Running) -> None:
    world.mechanism.count = 0
    running.ask(request()).tick()
    for second in range(1, 10):
        world.mechanism.count = 10 * second
        running.pass_s(1)
    published = [acted for state, acted in counts(world) if state == "active"]
    assert published[:2] == [0, 10]
    assert len(published) == 3
    running.pass_s(5)
    assert counts(world)[-1] == ("recovered", 90)


def test_who_counts_nothing_is_not_asked(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(8)
    assert world.mechanism.attempts("count") == []


def test_an_instance_that_does_not_say_its_count_is_asked_again(world: World, running: Running) -> None:
    world.mechanism.count = 0
    world.mechanism.errors["count", "cart-0"] = [Retryable("no answer"), Retryable("no answer")]
    running.ask(request()).tick()
    world.mechanism.count = 7
    running.pass_s(4)
    assert counts(world)[-1] == ("active", 7)


def test_an_instance_that_counts_anew_takes_nothing_back(world: World, running: Running) -> None:
    world.mechanism.count = 7
    running.ask(request()).tick().pass_s(2)
    world.mechanism.count = 0
    running.pass_s(9)
    assert counts(world)[-1] == ("recovered", 7)


def test_where_no_observer_answers_the_verdict_is_inconclusive_and_says_why(
    world: World, running: Running
) -> None:
    running.ask(request()).tick().pass_s(69)
    assert world.events()[-1].verdict == "pending"
    running.pass_s(2)
    last = world.events()[-1]
    assert (last.state, last.verdict) == ("recovered", "inconclusive")
    assert last.effect_evidence.startswith("no observer answered within 60 s")
    assert last.recovery_evidence == "out of force"


def test_a_verdict_that_comes_too_late_is_told_all_the_same(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(72)
    world.put("fault-effects", encode(verdict(1, is_final=True)))
    running.tick()
    assert world.events()[-1].verdict == "confirmed"


def test_a_verdict_is_no_news_for_windows(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(11)
    known = len(world.faults("cart"))
    world.put("fault-effects", encode(verdict(1, is_final=True)))
    running.tick()
    assert len(world.faults("cart")) == known


def test_verdicts_of_other_runs_say_nothing(world: World, running: Running) -> None:
    running.ask(request()).tick()
    world.put("fault-effects", encode(verdict(1, run_id="other")), None, b"rubbish")
    world.put("service-graph", b"rubbish")
    running.tick()
    assert world.events()[-1].verdict == "pending"
    assert [each.value for each in world.messages("service-graph-dlq")] == [b"rubbish"]
    assert world.messages("fault-effects-dlq") == []


def test_a_graph_whose_columns_differ_in_length_is_dead_lettered_and_the_injector_goes_on(
    world: World, running: Running
) -> None:
    uneven = encode(replace(graph("checkout", "cart"), calls=()))
    world.put("service-graph", uneven)
    running.tick()
    assert [each.value for each in world.messages("service-graph-dlq")] == [uneven]
    running.ask(request()).tick().pass_s(11)
    assert world.states() == WHOLE_STORY


def test_a_request_that_can_not_be_read_is_dead_lettered_and_the_next_is_carried_out(
    world: World, running: Running
) -> None:
    running.handlers.requests(
        [message("fault-requests", b"rubbish"), message("fault-requests", encode(request()))]
    )
    assert [each.value for each in world.messages("fault-requests-dlq")] == [b"rubbish"]
    assert world.states()[:2] == ["requested", "scheduled"]


def test_service_faults_are_stamped(world: World, running: Running) -> None:
    running.ask(request()).tick().pass_s(11)
    for each in world.messages("service-faults"):
        stamp = Stamp.read(each.headers)
        assert stamp.writer == "fault-injector"
        assert stamp.watermark_us >= NOW_US
        assert each.header("run") == b"run-1"


def test_shutdown_ends_every_fault(world: World, running: Running) -> None:
    running.ask(request("f-1")).ask(request("f-2", start_at_us=NOW_US + 60 * SECOND_US)).tick()
    running.injector.shut_down()
    running.tick()
    assert running.injector.is_at_rest
    assert world.mechanism.active == set()
    assert world.states("f-1")[-1] == world.states("f-2")[-1] == "stopped"
    assert world.events("f-1")[-1].reason == "injector shut down"


def graph(caller: str, callee: str) -> ServiceGraph:
    return ServiceGraph(
        run_id="run-1",
        start_us=NOW_US,
        end_us=NOW_US + 1,
        callers=(caller,),
        callees=(callee,),
        calls=(3,),
        errors=(0,),
    )
