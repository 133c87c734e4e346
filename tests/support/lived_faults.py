"""Faults that a running target goes through, with what its telemetry shows before, during and after each."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import Receiver

from microservo.adapters.clock import now_us
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.topology_file import load_topology
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import LocalInstance, read_state
from microservo.platforms.mechanism import Confirmation
from microservo.retry import retry
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually

PATIENCE_S = 180.0
SECOND_US = 1_000_000
REQUESTS = 16


@dataclass(frozen=True)
class Case:
    """A kind with parameters, and how its requests are asked."""

    kind: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    fresh_keys: bool = False
    timeout_s: float = 10.0
    gap_s: float = 0.0
    """Between two requests."""


@dataclass(frozen=True)
class Look:
    """Some requests, and what the telemetry shows of their time."""

    answers: Sequence[tuple[int, str, str]]
    """Status, key that was answered, and date."""
    asked_ms: Sequence[float]
    """How long each was waited for."""
    asked: Sequence[str]
    spans: Sequence[Span]
    versions: frozenset[str]
    logs: Sequence[Any]
    metrics: Mapping[str, float]
    """The last ones, of the instance and of its process."""

    @property
    def statuses(self) -> set[int]:
        return {status for status, _, _ in self.answers}

    @property
    def failed_share(self) -> float:
        return sum(status != 200 for status, _, _ in self.answers) / len(self.answers)

    @property
    def median_ms(self) -> float:
        """Of the requests that were served, as the service tells it."""
        return statistics.median(
            (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 for span in self.spans
        )

    @property
    def errors(self) -> set[str]:
        """What the failed requests say."""
        return {span.status.message for span in self.spans if span.status.code == 2}


@dataclass(frozen=True)
class Story:
    """What came of one fault."""

    before: Look
    during: Look
    after: Look
    applied: Confirmation
    recovered: Confirmation
    acted: int | None
    left: Sequence[str]
    """Faults that the instance still lists, and strange files on its disk."""


class Target:
    """The running target and how to talk to it."""

    def __init__(self, home: Path, receiver: Receiver) -> None:
        self.state_file = home / "target.json"
        self.receiver = receiver
        self.platform = LocalPlatform(self.state_file)
        self.readings: dict[str, Mapping[str, float]] = {}

    def instance(self, service: str) -> LocalInstance:
        found = read_state(self.state_file).instance(f"{service}-0")
        assert found is not None
        return found

    def meter(self, stop: threading.Event) -> None:
        """Reads what the processes use, again and again."""
        meter = self.platform.meter()
        while not stop.wait(0.5):
            self.readings = dict(meter.read())

    def is_measured(self) -> bool:
        """Whether all was read of every process, rates too, which take two looks."""
        instances = read_state(self.state_file).instances
        return all("process.cpu.utilization" in self.readings.get(each.id, {}) for each in instances)

    def ask(self, service: str, key: str, timeout_s: float = 10.0) -> tuple[int, str, str, str]:
        """Status, key of the answer, its date and the trace id; status 0 where there is no answer."""
        trace_id = os.urandom(16).hex()
        headers = {
            "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
            "x-request-deadline": str(now_us() + 10 * SECOND_US),
        }
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.instance(service).sidecar_port, timeout=timeout_s
        )
        try:
            connection.request("POST", f"/Get?key={key}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            told = json.loads(body)["key"] if answer.status == 200 else ""
            return answer.status, told, answer.headers["Date"] or "", trace_id
        except (OSError, http.client.HTTPException):
            return 0, "", "", trace_id
        finally:
            connection.close()

    def look(self, service: str, case: Case, word: str) -> Look:
        """The telemetry of some requests, once it has come."""
        first_log, first_metric = len(self.receiver.logs), len(self.receiver.metrics)
        asked = [
            f"{word}-{number}" if case.fresh_keys else f"user-{number % 4}" for number in range(REQUESTS)
        ]
        answers, asked_ms = [], []
        for key in asked:
            began_s = time.monotonic()
            answers.append(self.ask(service, key, case.timeout_s))
            asked_ms.append(1000 * (time.monotonic() - began_s))
            time.sleep(case.gap_s)
        traces = {trace_id for *_, trace_id in answers}

        def spans() -> list[Span]:
            own = [span for name, span in self.receiver.spans if name == service]
            return [
                span for span in own if span.kind == Span.SPAN_KIND_SERVER and span.trace_id.hex() in traces
            ]

        def metrics() -> dict[str, float]:
            return {name: value for of, name, value in self.receiver.metrics[first_metric:] if of == service}

        reached = sum(status in (200, 500) for status, *_ in answers)
        exported = self.exports(service)
        eventually(lambda: len(spans()) >= reached, timeout_s=PATIENCE_S, what=f"spans of {service}")
        # Of the next export only a part may be of the time behind these requests; the one after that has none
        # of theirs. Meanwhile what is read from outside was read once more, too.
        eventually(
            lambda: (
                ("http.server.duration" in metrics() and self.exports(service) > exported + 1) or not reached
            ),
            timeout_s=PATIENCE_S,
            what=f"metrics of {service}",
        )
        found = spans()
        return Look(
            answers=[each[:3] for each in answers],
            asked_ms=asked_ms,
            asked=asked,
            spans=found,
            versions=frozenset(self.receiver.versions[span.span_id] for span in found),
            logs=[record for name, record in self.receiver.logs[first_log:] if name == service],
            metrics={**metrics(), **self.readings.get(f"{service}-0", {})},
        )

    def exports(self, service: str) -> int:
        """How many exports of its metrics have come."""
        return sum(
            of == service and name == "db.client.connection.count" for of, name, _ in self.receiver.metrics
        )

    def newest(self, service: str, metric: str) -> float | None:
        """Its value in the newest export; None where there is none."""
        found = [value for of, name, value in self.receiver.metrics if (of, name) == (service, metric)]
        return found[-1] if found else None

    def live_through(self, service: str, case: Case) -> Story:
        """A fault of the kind, with a look before, during and after it."""
        mechanism, wire = (
            self.platform.mechanisms(case.kind)[0],
            KINDS[case.kind].from_text(case.parameters).wire(),
        )
        instance, fault_id = f"{service}-0", f"f-{case.kind}"
        calm = Case(case.kind, fresh_keys=case.fresh_keys)
        before = self.look(service, calm, f"{case.kind}-before")
        applied = mechanism.apply(instance, fault_id, wire)
        during = self.look(service, case, f"{case.kind}-during")
        acted = (
            None if KINDS[case.kind].one_shot else again(lambda: mechanism.acted(instance, fault_id, wire))
        )
        recovered = again(lambda: mechanism.recover(instance, fault_id, wire))
        eventually(
            lambda: self.ask(service, "user-0")[0] == 200,
            timeout_s=PATIENCE_S,
            what=f"{service} to serve again",
        )
        after = self.look(service, calm, f"{case.kind}-after")
        return Story(before, during, after, applied, recovered, acted, self.left_on(service))

    def left_on(self, service: str) -> list[str]:
        """What faults have left on an instance, once it has given all connections back."""
        eventually(
            lambda: self.newest(service, "db.client.connection.count") == 0,
            timeout_s=PATIENCE_S,
            what=f"connections of {service} to be given back",
        )
        client = ControlClient(self.instance(service).control_url, read_state(self.state_file).control_token)
        faults = [each["id"] for each in again(lambda: client.call("GET", "/faults"))["faults"]]
        files = [each.name for each in self.data_of(service).iterdir() if each.name != "rows.log"]
        return faults + files

    def data_of(self, service: str) -> Path:
        return self.state_file.with_name("data") / f"{service}-0"


def again(what: Callable[[], Any]) -> Any:
    """What comes of it, once it is answered."""
    return retry(what, timeout_s=PATIENCE_S)


@contextmanager
def running(home: Path, topology: str) -> Iterator[Target]:
    """A target of the topology, until the block ends."""
    receiver = Receiver()
    threading.Thread(target=receiver.server.serve_forever, daemon=True).start()
    (home / "kinds.toml").write_text(topology)
    target, stop = Target(home, receiver), threading.Event()
    with Supervisor() as supervisor:
        runner = LocalTargetRunner(
            supervisor,
            topology=load_topology(topology, "kinds.toml"),
            topology_path=home / "kinds.toml",
            state_file=target.state_file,
            otlp_url=receiver.url,
            log_dir=home / "logs",
            seed=7,
            journeys_per_s=0.2,
        )
        runner.start()
        runner.wait_ready(PATIENCE_S)
        meter = threading.Thread(target=target.meter, args=(stop,))
        meter.start()
        eventually(target.is_measured, timeout_s=PATIENCE_S, what="a rate of every process")
        yield target
        stop.set()
        meter.join()
    runner.close()
    receiver.server.shutdown()
    receiver.server.server_close()
