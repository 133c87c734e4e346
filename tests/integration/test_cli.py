"""The command line as people call it: a process, against the real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from fault_states import state_of

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.client import Client
from microservo.testing import eventually
from schemas.codec import encode
from schemas.records import FaultEvent

pytestmark = pytest.mark.integration

Call = Callable[..., "subprocess.CompletedProcess[str]"]
# Like the console script, it never looks into the working directory.
COMMAND = (sys.executable, "-P", "-c", "from microservo.cli import main; main()")
TINY = """
name = "tiny"
entry = "front"
[services.front.endpoints.Home]
cpu_ms = 0.2
calls = [{ service = "back", endpoint = "Get" }]
[services.back.endpoints.Get]
cpu_ms = 0.2
[[journeys]]
name = "home"
weight = 1
steps = [{ endpoint = "Home" }]
"""


SHELL = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONSTARTUP": "/no/such/file",
}
"""What a user's shell may say; each of these once silenced the target."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An own home and no settings from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MICROSERVO_")}
    return {**kept, "MICROSERVO_HOME": str(tmp_path / "höme, #1")}


@pytest.fixture
def call(kafka_bootstrap_servers: str, topic_prefix: str, environment: dict[str, str]) -> Call:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *COMMAND,
                "--bootstrap-servers",
                kafka_bootstrap_servers,
                "--topic-prefix",
                topic_prefix,
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment,
        )

    return run


def test_the_everyday_acts_work_on_a_broker_of_ones_own(
    call: Call, kafka_broker: KafkaBroker, topic_prefix: str
) -> None:
    made = call("topics", "ensure", "--partitions", "3")
    assert (made.returncode, made.stderr) == (0, "")
    assert f"made {topic_prefix}labelled-windows\n" in made.stdout
    assert call("topics", "ensure", "--partitions", "3").stdout == "all topics are there\n"
    assert call("topics", "ensure", "--partitions", "4").returncode == 2

    arguments = ("--target", "service=cartservice", "--param", "latency=300ms", "--duration", "20s")
    requested = call("fault", "request", "network-delay", *arguments, "--id", "slow-1")
    assert (requested.returncode, requested.stdout) == (0, "slow-1\n")
    refused = call("fault", "request", "network-delay", *arguments[:-1], "20 parsecs")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)

    read = call("subscribe", "fault-requests", "--from", "earliest", "--until-end", "--json")
    (document,) = [json.loads(line) for line in read.stdout.splitlines()]
    assert document["record"]["parameters"] == {"latency": "300ms"}
    assert (
        "inject network-delay on cartservice"
        in call("subscribe", "fault-requests", "--from", "earliest", "--limit", "1").stdout
    )

    _answer(kafka_broker, topic_prefix)
    assert "cartservice-0" in call("fault", "list").stdout
    assert call("fault", "stop", "slow-1").returncode == 0
    assert "no runs yet" in call("runs", "list").stdout
    assert "fault-requests" in call("topics", "list").stdout


def _answer(broker: KafkaBroker, topic_prefix: str) -> None:
    event = FaultEvent(
        run_id="run-1",
        fault_id="slow-1",
        version=1,
        kind="network-delay",
        service="cartservice",
        instance="cartservice-0",
        state="active",
        at_us=1,
        requested_at_us=1,
        duration_us=1,
        parameters={},
    )
    with broker.producer() as producer:
        producer.send(f"{topic_prefix}fault-events", key=b"slow-1", value=encode(event))
        producer.send(f"{topic_prefix}faults", key=b"slow-1", value=encode(state_of(event)))
        producer.flush(30)


def test_a_group_shares_what_was_read(kafka_broker: KafkaBroker, topic_prefix: str) -> None:
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    client.topics.ensure(partitions=1)
    for number in range(3):
        client.faults.request("noop", service="a", duration="1s", fault_id=f"noop-{number}")
    with client.topics.subscribe("fault-requests", start="earliest", group_id=f"{topic_prefix}g") as first:
        taken = [next(first).message.key for _ in range(3)]
        first.poll(0)
    client.faults.request("noop", service="a", duration="1s", fault_id="noop-3")
    with client.topics.subscribe("fault-requests", start="earliest", group_id=f"{topic_prefix}g") as second:
        taken.append(next(second).message.key)
    assert taken == [b"noop-0", b"noop-1", b"noop-2", b"noop-3"]


def test_ctrl_c_ends_a_subscription_quietly(
    call: Call, kafka_bootstrap_servers: str, topic_prefix: str, environment: dict[str, str]
) -> None:
    call("topics", "ensure", "--partitions", "1")
    call("fault", "request", "noop", "--target", "service=a", "--duration", "1s")
    options = ("--bootstrap-servers", kafka_bootstrap_servers, "--topic-prefix", topic_prefix)
    with subprocess.Popen(
        [*COMMAND, *options, "subscribe", "fault-requests", "--from", "earliest"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert "inject noop" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, complaint = process.communicate(timeout=60)
    assert (process.returncode, rest, complaint.strip()) == (130, "", "")


def test_a_broker_that_does_not_answer_is_reported_in_one_line(environment: dict[str, str]) -> None:
    answer = subprocess.run(
        [*COMMAND, "--bootstrap-servers", "127.0.0.1:1", "fault", "list"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**environment, "MICROSERVO_CONNECT_TIMEOUT_S": "1"},
    )
    assert answer.returncode == 3
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr


CATALOGUES = {
    "--catalogue": ('"runs": 1', "the run in the catalogue"),
    "--no-catalogue": ("no catalogue is named", "that there is no catalogue"),
}
"""By option of `up`, what is said of the catalogue, and what that means."""


@pytest.mark.parametrize(
    ("sent", "catalogue"), [(signal.SIGINT, "--catalogue"), (signal.SIGTERM, "--no-catalogue")]
)
def test_up_runs_in_any_folder_and_shell_until_it_is_stopped_and_leaves_nothing(
    call: Call,
    kafka_bootstrap_servers: str,
    topic_prefix: str,
    environment: dict[str, str],
    tmp_path: Path,
    *,
    sent: signal.Signals,
    catalogue: str,
) -> None:
    topology, log = tmp_path / "tiny.toml", tmp_path / "up.log"
    topology.write_text(TINY, "utf-8")
    project = tmp_path / "project"
    for package in ("services", "streams", "schemas"):
        (project / package).mkdir(parents=True)
        (project / package / "__init__.py").touch()
    options = ("--bootstrap-servers", kafka_bootstrap_servers, "--topic-prefix", topic_prefix)
    (otlp_port,) = free_ports(1)
    with (
        log.open("w") as out,
        subprocess.Popen(
            [
                *COMMAND,
                *options,
                "up",
                "--otlp-port",
                str(otlp_port),
                "--topology",
                str(topology),
                "--journeys-per-s",
                "4",
                "--partitions",
                "1",
                catalogue,
            ],
            stdout=out,
            stderr=out,
            cwd=project,
            env={**environment, **SHELL, "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        try:
            eventually(
                lambda: "is running" in log.read_text() or process.poll() is not None,
                timeout_s=240,
                what="the system",
            )
            assert process.poll() is None, log.read_text()
            assert f"OTLP http://127.0.0.1:{otlp_port}\n" in log.read_text()
            said, found = CATALOGUES[catalogue]
            eventually(lambda: said in catalogue_of_default(environment), timeout_s=240, what=found)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(sent)
            process.wait(120)
        finally:
            process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert (process.returncode, alive) == (130, [])
    assert len(children) >= 10
    (run,) = [json.loads(line) for line in call("runs", "list", "--json").stdout.splitlines()]
    assert (run["status"], run["target"]) == ("finished", "tiny")


def catalogue_of_default(environment: dict[str, str]) -> str:
    """What the command line says of the catalogue of the running system."""
    argv = [*COMMAND, "--system", "default", "catalogue", "show", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False, env=environment)
    return done.stdout + done.stderr
