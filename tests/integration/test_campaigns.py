"""Campaigns and schedules with kill -9, on a real broker, a real injector and a small target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.ports import free_ports
from microservo.client.client import Client
from microservo.domain.topology_file import load_topology
from microservo.errors import MicroServoError
from microservo.log.reader import read_topic
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import read_state
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually
from schemas.codec import decode_as
from schemas.records import Experiment, FaultEvent, RunLoad

pytestmark = pytest.mark.integration

Start = Callable[..., AbstractContextManager["subprocess.Popen[bytes]"]]
PATIENCE_S = 120
JOURNEYS_PER_S = 2.0
TINY = """
name = "tiny"
entry = "front"
[services.front.endpoints.Home]
calls = [ { service = "back", endpoint = "Get" } ]
[services.back.endpoints.Get]
response_bytes = 500
[[journeys]]
name = "look"
steps = [ { endpoint = "Home" } ]
"""
CAMPAIGN = """
name = "four"
[target]
topology = "{topology}"
[faults]
count = 4
duration = ["2s", "2s"]
gap = ["1s", "1s"]
[[mix]]
kind = "network-delay"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With a topology, a campaign for it, and the state file of a running target."""
    home = tmp_path_factory.mktemp("target")
    path = home / "tiny.toml"
    path.write_text(TINY)
    (home / "four.toml").write_text(CAMPAIGN.format(topology=path))
    with Supervisor() as supervisor:
        runner = LocalTargetRunner(
            supervisor,
            topology=load_topology(TINY, "tiny.toml"),
            topology_path=path,
            state_file=home / "target.json",
            otlp_url=f"http://127.0.0.1:{free_ports(1)[0]}",
            log_dir=home / "logs",
            seed=7,
            journeys_per_s=JOURNEYS_PER_S,
        )
        runner.start()
        runner.wait_ready(PATIENCE_S)
        yield home
    runner.close()


@pytest.fixture
def client(kafka_broker: Broker, topic_prefix: str) -> Client:
    """Of a system with a run that goes on."""
    kafka_broker.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=2))
    run = Experiment(
        run_id="run-1",
        status="running",
        seed=7,
        target="tiny",
        started_at_us=now_us(),
        window_us=5_000_000,
        first_cut_us=1_000_000,
        final_cut_us=10_000_000,
        start_offsets={},
        end_offsets={},
        versions={},
        loads=(
            RunLoad(
                journeys_per_s=JOURNEYS_PER_S, seed=7, amplitude=0.0, period_s=600.0, noise=0.0, noise_s=10.0
            ),
        ),
    )
    write_run(kafka_broker, run, process="system", clock=now_us, topic_prefix=topic_prefix)
    return Client(broker=kafka_broker, topic_prefix=topic_prefix)


@pytest.fixture
def start(kafka_bootstrap_servers: str, topic_prefix: str, folder: Path, tmp_path: Path) -> Start:
    """Starts a process of ours; it is killed at the end of the context."""
    environment = {
        **os.environ,
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": topic_prefix,
        "MICROSERVO_RUN_ID": "run-1",
        "MICROSERVO_TARGET_STATE": str(folder / "target.json"),
        "MICROSERVO_HOME": str(tmp_path / "home"),
    }

    @contextmanager
    def running(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(argv, env=environment, stderr=log, stdout=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return running


INJECTOR = (sys.executable, "-m", "services.fault_injector")


def applied(client: Client) -> Counter[str]:
    """How often each fault was put in force, by its id."""
    messages = read_topic(client.broker, f"{client.topic_prefix}fault-events")
    events = [decode_as(FaultEvent, each.value or b"") for each in messages]
    # One event for each time that it became active: what the observer adds later has another reason.
    states = {(each.fault_id, each.instance, each.applied_at_us) for each in events if each.applied_at_us}
    return Counter(fault_id for fault_id, _, _ in states)


def test_a_campaign_that_was_killed_twice_goes_on_without_a_fault_lost_or_doubled(
    client: Client, start: Start, folder: Path
) -> None:
    campaign = (str(Path(sys.executable).with_name("microservo")), "campaign")
    path = str(folder / "four.toml")
    plan = client.campaigns.plan(path, seed=11)
    assert plan.to_bytes() == client.campaigns.plan(path, seed=11).to_bytes()
    with start(*INJECTOR) as injector:
        with start(*campaign, "run", path, "--seed", "11", "--id", "four-1") as run:
            wait_until_applied(client, "four-1-002")
            run.send_signal(signal.SIGKILL)
            run.wait()
        # The injector too: what is in force then is ended by the next one.
        injector.send_signal(signal.SIGKILL)
        injector.wait()
    (status,) = client.campaigns.list()
    assert status.run.plan.encode() == plan.to_bytes()
    eventually(
        lambda: client.campaigns.list()[0].standing == "killed",
        timeout_s=PATIENCE_S,
        what="the lease to run out",
    )
    with start(*INJECTOR):
        with start(*campaign, "resume") as resumed:
            wait_until_applied(client, "four-1-003")
            resumed.send_signal(signal.SIGKILL)
            resumed.wait()
        eventually(
            lambda: client.campaigns.list()[0].standing == "killed",
            timeout_s=PATIENCE_S,
            what="the lease to run out",
        )
        with start(*campaign, "resume", "four-1") as last:
            assert last.wait(PATIENCE_S) == 0
    report = client.campaigns.report("four-1")
    assert report.status.standing == "done"
    assert [each.fault_id for each in report.faults] == [f"four-1-00{number}" for number in (1, 2, 3, 4)]
    assert {each.state for each in report.faults} <= {"recovered", "stopped"}
    assert applied(client) == Counter({f"four-1-00{number}": 1 for number in (1, 2, 3, 4)})
    assert [each.event for each in report.journal].count("resumed") == 2
    in_order = [each.applied_at_us or 0 for each in report.faults]
    assert in_order == sorted(in_order)
    assert [each.event for each in report.journal].count("steady") == 3
    loads = [each.detail for each in report.journal if each.event == "load"]
    assert (loads[0], loads[-1]) == ("8 journeys/s", "2 journeys/s, as before")
    assert rate_of_users(folder) == JOURNEYS_PER_S


def rate_of_users(folder: Path) -> object:
    """Journeys per second, as the load generator says."""
    state = read_state(folder / "target.json")
    answer = ControlClient(state.loadgen.control_url, state.control_token).call("GET", "/rate")
    return answer["journeys_per_s"]


def wait_until_applied(client: Client, fault_id: str) -> None:
    def is_applied() -> bool:
        # It is in force for two seconds; who looks seldom finds it over.
        return any(each.fault_id == fault_id and each.applied_at_us for each in client.faults.list())

    eventually(is_applied, timeout_s=PATIENCE_S, what=f"{fault_id} to be in force")


def test_faults_of_a_schedule_begin_once_and_never_early_whatever_is_killed(
    client: Client, start: Start
) -> None:
    first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=20)
    second = first + timedelta(seconds=8)
    parameters = {"latency": "50ms"}
    for name, at in (("first", first), ("second", second)):
        client.schedules.add(
            "network-delay",
            service="back",
            at=at,
            duration="1s",
            parameters=parameters,
            grace="50s",
            schedule_id=name,
        )
    client.schedules.add(
        "network-delay",
        service="back",
        at=first + timedelta(hours=1),
        duration="1s",
        parameters=parameters,
        schedule_id="later",
    )
    with start(*INJECTOR) as injector:
        wait_until_active_or_over(client, "first")
        injector.send_signal(signal.SIGKILL)
        injector.wait()
    with start(*INJECTOR):
        wait_until_active_or_over(client, "second")
        client.schedules.remove("later")
        eventually(
            lambda: client.schedules.show("second").standing == "over",
            timeout_s=PATIENCE_S,
            what="the second schedule to be over",
        )
    ids = {name: f"{name}-{at:%Y%m%dT%H%M%SZ}" for name, at in (("first", first), ("second", second))}
    assert applied(client) == Counter({ids["first"]: 1, ids["second"]: 1})
    found = {each.fault_id: each for each in client.faults.list()}
    for name, at in (("first", first), ("second", second)):
        # How late they are is up to the machine, on which the injector has just been started anew.
        assert (found[ids[name]].applied_at_us or 0) >= round(at.timestamp() * 1e6)
    assert [each.schedule.schedule_id for each in client.schedules.list()] == ["first", "second"]


def test_what_a_schedule_missed_is_skipped_and_told(client: Client, start: Start) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    client.schedules.add(
        "process-pause", service="back", at=at, duration="1s", grace="1s", schedule_id="missed"
    )
    time.sleep(4)
    with start(*INJECTOR):
        eventually(
            lambda: client.schedules.show("missed").skipped == 1,
            timeout_s=PATIENCE_S,
            what="it to be skipped",
        )
    (told,) = client.schedules.show("missed").recent
    assert (told.outcome, told.reason) == ("skipped", "no injector was running when it was due")
    assert applied(client) == Counter()


def wait_until_active_or_over(client: Client, schedule_id: str) -> None:
    def has_begun() -> bool:
        try:
            events = client.faults.list()
        except MicroServoError:  # a topic that was just made may have no leader yet
            return False
        return any(each.fault_id.startswith(f"{schedule_id}-") and each.applied_at_us for each in events)

    eventually(has_begun, timeout_s=PATIENCE_S, what=f"a fault of {schedule_id} to begin")
