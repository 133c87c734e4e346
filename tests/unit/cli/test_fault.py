from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import Result
from fault_states import state_of

from microservo.application.connection import Connection
from microservo.cli.values import InstantType
from microservo.client.client import Client
from microservo.testing import MemoryBroker
from schemas.records import Experiment, FaultEvent, FaultRequest, FaultState

NOON_US = 1_800_000_000_000_000
Run = Callable[..., Result]
Put = Callable[..., None]
DELAY = ("fault", "request", "network-delay", "--target", "service=cartservice", "--duration", "20s")


def requests_on(broker: MemoryBroker) -> list[FaultRequest]:
    received = Client(broker=broker).topics.subscribe("fault-requests", start="earliest", until_end=True)
    return [each.record for each in received if isinstance(each.record, FaultRequest)]


def an_event(
    version: int, state: FaultState, *, instance: str = "cartservice-0", reason: str = ""
) -> FaultEvent:
    return FaultEvent(
        run_id="run-1",
        fault_id="f-1",
        version=version,
        kind="network-delay",
        service="cartservice",
        instance=instance,
        state=state,
        at_us=NOON_US + version,
        requested_at_us=NOON_US,
        duration_us=1_000_000,
        parameters={},
        applied_at_us=NOON_US + 250_000,
        reason=reason,
    )


def test_a_request_is_sent_as_written(run: Run, broker: MemoryBroker) -> None:
    result = run(*DELAY, "--param", "latency=300ms", "--param", "jitter=50ms", "--id", "slow-1")
    assert (result.exit_code, result.stdout) == (0, "slow-1\n")
    (request,) = requests_on(broker)
    assert (request.service, request.duration_us) == ("cartservice", 20_000_000)
    assert request.parameters == {"latency": "300ms", "jitter": "50ms"}


def test_instances_and_a_later_start_can_be_named(run: Run, broker: MemoryBroker) -> None:
    target = "service=cartservice,instance=cartservice-0,instance=cartservice-1"
    result = run(
        *("fault", "request", "noop", "--target", target, "--duration", "1s"),
        *("--at", "2027-01-31T12:00:00Z", "--json"),
    )
    assert json.loads(result.stdout)["fault_id"].startswith("noop-")
    (request,) = requests_on(broker)
    assert request.instances == ("cartservice-0", "cartservice-1")
    assert request.start_at_us == 1_801_396_800_000_000


def test_how_many_instances_and_their_labels_can_be_told(run: Run, broker: MemoryBroker) -> None:
    run(*DELAY, "--param", "latency=1s", "--mode", "50%", "--label", "app=cart", "--label", "track=canary")
    (request,) = requests_on(broker)
    assert (request.mode, request.labels) == ("50%", {"app": "cart", "track": "canary"})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("network-dealy", "--target", "service=a", "--duration", "1s"), "did you mean 'network-delay'"),
        (("noop", "--target", "service=a", "--duration", "-1s"), "the duration is -1000000 us"),
        (("noop", "--target", "service=a", "--duration", "1 fortnight"), "fortnight"),
        (("noop", "--target", "service=a"), "give more than zero"),
        (("noop", "--target", "cartservice", "--duration", "1s"), "service=NAME"),
        (("noop", "--target", "service=a,service=b", "--duration", "1s"), "exactly one service"),
        (("noop", "--duration", "1s"), "--target"),
        (("noop", "--target", "service=a", "--duration", "1s", "--mode", "many"), "'many' is no mode"),
        (("noop", "--target", "service=a", "--duration", "1s", "--label", "canary"), "for example app=cart"),
        (("network-delay", "--target", "service=a", "--duration", "1s"), "latency"),
        (("noop", "--target", "service=a", "--duration", "1s", "--param", "x"), "NAME=VALUE"),
        (("noop", "--target", "service=a", "--duration", "1s", "--param", "x=1", "--param", "x=2"), "twice"),
        (("noop", "--target", "service=a", "--duration", "1s", "--at", "noon"), "2026-01-31T12:00:00Z"),
        (("noop", "--target", "service=a", "--duration", "1s", "--at", "2026-01-31T12:00:00"), "time zone"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_in_one_line(
    run: Run, broker: MemoryBroker, arguments: tuple[str, ...], complaint: str
) -> None:
    result = run("fault", "request", *arguments)
    first = result.stderr.splitlines()[0]
    assert result.exit_code == 2
    assert first.startswith("error: ")
    assert complaint in first
    assert "Traceback" not in result.stderr
    assert requests_on(broker) == []


def test_faults_are_listed_with_their_times_after_the_request(run: Run, put: Put) -> None:
    put("faults", "f-1", state_of(an_event(1, "requested", instance=""), an_event(2, "active")))
    put("fault-events", "f-0", replace(an_event(1, "recovered"), fault_id="f-0"))
    result = run("fault", "list")
    assert result.exit_code == 0
    assert "cartservice-0" in result.stdout
    assert "~+0.25 s" in result.stdout, "nobody measured it"
    (line,) = run("fault", "list", "--json").stdout.splitlines()
    assert json.loads(line)["state"] == "active"
    assert "f-0" not in result.stdout
    assert "f-0" in run("fault", "list", "--all").stdout


def test_an_empty_list_says_how_to_ask_for_a_fault(run: Run) -> None:
    assert "fault request --help" in run("fault", "list").stdout


def test_stopping_asks_and_refuses_what_is_not_there(run: Run, put: Put, broker: MemoryBroker) -> None:
    put("faults", "f-1", state_of(an_event(1, "active")))
    assert run("fault", "stop", "f-1").exit_code == 0
    assert requests_on(broker)[0].action == "stop"
    unknown = run("fault", "stop", "f-2")
    assert (unknown.exit_code, "fault list" in unknown.stderr) == (2, True)


def a_run(started_at_us: int) -> Experiment:
    return Experiment(
        run_id="run-1",
        status="running",
        seed=1,
        target="t",
        started_at_us=started_at_us,
        window_us=5_000_000,
        first_cut_us=2_000_000,
        final_cut_us=30_000_000,
        start_offsets={},
        end_offsets={},
        versions={},
    )


DEPLOY = ("fault", "declare", "--service", "jshop", "--kind", "deploy")
NOON, EARLIER = "2027-01-15T08:00:00Z", "2027-01-15T07:59:50Z"


def test_a_fault_of_others_is_declared_as_written(run: Run, put: Put, broker: MemoryBroker) -> None:
    put("experiments", "run-1", a_run(NOON_US - 3_600_000_000))
    result = run(
        *(*DEPLOY, "--from", EARLIER, "--to", NOON, "--instance", "jshop-1", "--severity", "0.8"),
        *("--within", "500ms", "--by", "ana", "--id", "deploy-7"),
    )
    assert (result.exit_code, result.stdout) == (0, "deploy-7\n")
    (request,) = requests_on(broker)
    assert (request.action, request.kind, request.service) == ("declare", "deploy", "jshop")
    assert (request.start_at_us, request.end_at_us) == (NOON_US - 10_000_000, NOON_US)
    assert (request.within_us, request.severity, request.requested_by) == (500_000, 0.8, "ana")
    assert request.instances == ("jshop-1",)


def test_one_that_began_long_ago_is_accepted_and_it_is_said_what_becomes_of_its_windows(
    run: Run, put: Put
) -> None:
    put("experiments", "run-1", a_run(NOON_US - 3_600_000_000))
    document = json.loads(run(*DEPLOY, "--from", "2027-01-15T07:50:00Z", "--json").stdout)
    assert document["fault_id"].startswith("deploy-")
    assert "it began 600 s ago" in document["note"]
    assert "faults.parquet has it" in document["note"]


def test_the_end_of_a_declared_fault_is_declared_and_that_of_ours_is_not(
    run: Run, put: Put, broker: MemoryBroker
) -> None:
    declared = replace(an_event(2, "active", instance=""), origin="declared", kind="deploy")
    put("faults", "f-1", state_of(replace(declared, applied_at_us=NOON_US - 60_000_000)))
    put("faults", "f-2", state_of(replace(an_event(2, "active"), fault_id="f-2")))
    assert run("fault", "declare", "--end", "f-1", "--at", EARLIER).exit_code == 0
    (request,) = requests_on(broker)
    assert (request.action, request.end_at_us) == ("stop", NOON_US - 10_000_000)
    ours = run("fault", "declare", "--end", "f-2", "--at", EARLIER)
    assert (ours.exit_code, "is measured" in ours.stderr) == (2, True)
    before = run("fault", "declare", "--end", "f-1", "--at", "2027-01-15T07:00:00Z")
    assert (before.exit_code, "before the beginning" in before.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((*DEPLOY, "--from", NOON, "--to", EARLIER), "before the beginning"),
        ((*DEPLOY, "--from", "2027-01-15T08:05:00Z"), "300 s from now"),
        ((*DEPLOY, "--from", "2027-01-15T06:00:00Z"), "before the run"),
        (("fault", "declare", "--service", "a", "--kind", "cpu-hog"), "fault request cpu-hog"),
        (("fault", "declare", "--service", "a"), "--service and --kind"),
        (("fault", "declare", "--end", "f-1", "--kind", "deploy"), "--end goes with --at only"),
        ((*DEPLOY, "--at", NOON), "--at goes with --end"),
        ((*DEPLOY, "--from", "yesterday"), "write now, -5m or 2026-01-31T12:00:00Z"),
    ],
)
def test_what_can_not_be_declared_is_refused_in_one_line(
    run: Run, put: Put, broker: MemoryBroker, arguments: tuple[str, ...], complaint: str
) -> None:
    put("experiments", "run-1", a_run(NOON_US - 3_600_000_000))
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr.splitlines()[0]
    assert requests_on(broker) == []


@pytest.mark.parametrize(("text", "distance_s"), [("now", 0), ("-5m", -300), ("+30s", 30)])
def test_instants_may_be_said_from_now(text: str, distance_s: int) -> None:
    instant = InstantType().convert(text, None, None)
    assert abs((instant - datetime.now(UTC)).total_seconds() - distance_s) < 5


def test_kinds_are_shown_with_parameters_units_and_defaults(run: Run) -> None:
    everything = run("fault", "kinds").stdout
    assert "network-delay" in everything
    assert "latency (required)" in everything
    one = run("fault", "kinds", "network-delay").stdout
    assert "--param latency=" in one
    assert "default 0ms" in one
    assert json.loads(run("fault", "kinds", "noop", "--json").stdout)["name"] == "noop"
    assert run("fault", "kinds", "nope").exit_code == 2


class _Partial:
    """A platform that can only do something to processes."""

    def mechanisms(self, kind: str) -> list[str]:
        return ["process"] if kind.startswith("process-") else []


def test_a_kind_that_the_running_target_cannot_carry_is_shown_as_such(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert '"available": null' in run("fault", "kinds", "cpu-hog", "--json").stdout
    monkeypatch.setattr(Connection, "platform", lambda _connection: _Partial())
    kinds = [json.loads(line) for line in run("fault", "kinds", "--json").stdout.splitlines()]
    assert {kind["name"] for kind in kinds if kind["available"]} == {"process-kill", "process-pause"}
    rows = run("fault", "kinds").stdout.splitlines()
    (kill,) = [row for row in rows if "process-kill " in row]
    (hog,) = [row for row in rows if " cpu-hog " in row]
    assert ("yes" in kill, "yes" in hog) == (True, False)
    assert "here: no" in run("fault", "kinds", "cpu-hog").stdout


def test_waiting_prints_the_story_to_its_end(run: Run, put: Put) -> None:
    later = threading.Timer(
        0.3, put, ("fault-events", "f-1", an_event(2, "active"), an_event(3, "recovered"))
    )
    put("fault-events", "f-1", an_event(1, "requested", instance=""))
    later.start()
    result = run(*DELAY, "--param", "latency=300ms", "--id", "f-1", "--wait")
    later.join()
    assert result.exit_code == 0
    words = [line.split()[1] for line in result.stdout.splitlines()[1:]]
    assert words == ["requested", "active", "recovered"]


@pytest.mark.parametrize(("state", "code"), [("rejected", 2), ("failed", 1)])
def test_waiting_says_by_its_exit_code_how_the_fault_ended(
    run: Run, put: Put, state: FaultState, code: int
) -> None:
    put("fault-events", "f-1", an_event(1, state, reason="out of memory"))
    result = run(*DELAY, "--param", "latency=300ms", "--id", "f-1", "--wait")
    assert result.exit_code == code
    assert "out of memory" in result.stderr


def test_what_became_of_an_earlier_fault_of_the_same_id_is_not_taken_for_this_one(run: Run, put: Put) -> None:
    earlier = replace(an_event(1, "rejected", instance=""), requested_at_us=NOON_US - 1)
    put("fault-events", "f-1", earlier, an_event(2, "requested", instance=""), an_event(3, "recovered"))
    result = run(*DELAY, "--param", "latency=300ms", "--id", "f-1", "--wait")
    assert (result.exit_code, "rejected" in result.stdout) == (0, False)
