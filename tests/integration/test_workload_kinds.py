"""The kinds of faults that instances and their processes carry, side by side on one started target.

Each service goes through some kinds, one after another: some requests before, during and after each. What the
telemetry shows of them is looked at by one test for each kind.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import Receiver, attributes

from microservo.adapters.clock import now_us
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.topology_file import load_topology
from microservo.errors import Retryable
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import LocalInstance, read_state
from microservo.platforms.mechanism import Confirmation
from microservo.retry import retry
from microservo.supervision.supervisor import Supervisor
from microservo.testing import eventually

pytestmark = pytest.mark.integration

PATIENCE_S = 180.0
SECOND_US = 1_000_000
REQUESTS = 16
TOPOLOGY = """
name = "kinds"
entry = "front"
[services.front.endpoints.Get]
calls = [ { service = "spared", endpoint = "Get", timeout_ms = 5000 } ]
[services.spared.endpoints.Get]
[services.back.endpoints.Get]
[services.disk.endpoints.Get]
[services.pool.endpoints.Get]
[services.memory]
heap = { garbage_kb = 64, collect_mb = 4, collect_ms = 20 }
[services.memory.endpoints.Get]
[services.core.endpoints.Get]
[[journeys]]
name = "look"
steps = [ { endpoint = "Get" } ]
"""


@dataclass(frozen=True)
class Case:
    """A kind with parameters, and how its requests are asked."""

    kind: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    fresh_keys: bool = False
    timeout_s: float = 10.0
    gap_s: float = 0.0
    """Between two requests."""


CASES: Mapping[str, Sequence[Case]] = {
    "front": [
        Case("config-error", {"setting": "address"}),
        Case("clock-skew", {"offset": "-10min"}),
        Case("fd-exhaustion", timeout_s=0.3),
    ],
    "back": [
        Case("bad-deploy", {"latency": "200ms", "ratio": "50%"}),
        Case("wrong-answer", {"ratio": "100%"}),
        Case("log-flood", {"lines": "50"}),
    ],
    "disk": [
        Case("disk-full"),
        Case("disk-slow", {"volume": "/data", "delay": "150ms"}),
        Case("disk-error", {"volume": "/data"}),
        Case("cache-failure"),
    ],
    "pool": [
        Case("db-slow-query", {"database": "shop", "latency": "200ms"}, fresh_keys=True),
        Case("connection-pool-exhaustion", timeout_s=0.3),
        Case("deadlock", timeout_s=0.3),
        Case("lock-contention", {"hold": "150ms"}),
    ],
    "memory": [
        Case("memory-leak", {"size": "1MiB", "most": "32MiB"}),
        Case("memory-limit", {"size": "64KiB"}),
        Case("thread-leak", {"most": "12"}),
        Case("cache-penetration", {"ratio": "80%"}),
    ],
    "core": [
        Case("cpu-limit", {"cores": "3%"}),
        Case("gc-pause", {"pause": "250ms", "interval": "100ms"}, gap_s=0.05),
        Case("oom-kill", {"size": "64MiB"}),
    ],
}
# Words by which telemetry would name a fault.
TELLTALES = re.compile(
    r"\bfaults?\b|inject|chaos|spoil|\bhog|leak|deadlock|flood|skew|exhaust|\bf-[a-z]", re.IGNORECASE
)


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
        eventually(lambda: len(spans()) >= reached, timeout_s=PATIENCE_S, what=f"spans of {service}")
        eventually(
            lambda: "http.server.duration" in metrics() or not reached,
            timeout_s=PATIENCE_S,
            what=f"metrics of {service}",
        )
        # One more of what is read from outside.
        time.sleep(0.6)
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
            None if KINDS[case.kind].one_shot else _again(lambda: mechanism.acted(instance, fault_id, wire))
        )
        recovered = _again(lambda: mechanism.recover(instance, fault_id, wire))
        eventually(
            lambda: self.ask(service, "user-0")[0] == 200,
            timeout_s=PATIENCE_S,
            what=f"{service} to serve again",
        )
        after = self.look(service, calm, f"{case.kind}-after")
        return Story(before, during, after, applied, recovered, acted, self.left_on(service))

    def left_on(self, service: str) -> list[str]:
        """What faults have left on an instance."""
        client = ControlClient(self.instance(service).control_url, read_state(self.state_file).control_token)
        faults = [each["id"] for each in _again(lambda: client.call("GET", "/faults"))["faults"]]
        files = [each.name for each in self.data_of(service).iterdir() if each.name != "rows.log"]
        return faults + files

    def data_of(self, service: str) -> Path:
        return self.state_file.with_name("data") / f"{service}-0"


def _again(what: Callable[[], Any]) -> Any:
    return retry(what, timeout_s=PATIENCE_S)


@contextmanager
def running(home: Path) -> Iterator[Target]:
    receiver = Receiver()
    threading.Thread(target=receiver.server.serve_forever, daemon=True).start()
    (home / "kinds.toml").write_text(TOPOLOGY)
    target, stop = Target(home, receiver), threading.Event()
    with Supervisor() as supervisor:
        runner = LocalTargetRunner(
            supervisor,
            topology=load_topology(TOPOLOGY, "kinds.toml"),
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
        yield target
        stop.set()
        meter.join()
    runner.close()
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("target")
    with running(home) as made:
        yield made
    assert not (home / "data").exists(), "the disks go with the target"


@pytest.fixture(scope="module")
def stories(target: Target) -> Mapping[tuple[str, str], Future[Story]]:
    """By service and kind; the services go through theirs side by side."""
    found: dict[tuple[str, str], Future[Story]] = {
        (service, case.kind): Future() for service, cases in CASES.items() for case in cases
    }

    def live(service: str) -> None:
        for case in CASES[service]:
            future = found[service, case.kind]
            try:
                future.set_result(target.live_through(service, case))
            except BaseException as error:
                future.set_exception(error)

    with ThreadPoolExecutor(max_workers=len(CASES)) as threads:
        list(threads.map(live, CASES))
    return found


Told = Callable[[str], Story]


@pytest.fixture
def told(stories: Mapping[tuple[str, str], Future[Story]]) -> Told:
    """Gives the story of a kind."""
    return lambda kind: next(future.result() for (_, name), future in stories.items() if name == kind)


@pytest.mark.parametrize("kind", [case.kind for cases in CASES.values() for case in cases])
def test_a_fault_is_confirmed_ends_and_leaves_nothing_behind(told: Told, kind: str) -> None:
    story = told(kind)
    for confirmed in (story.applied, story.recovered):
        assert confirmed.evidence
        assert confirmed.within_us is not None
        assert confirmed.within_us < 5 * SECOND_US
    assert story.applied.at_us < story.recovered.at_us
    assert story.left == []
    assert story.before.statuses == story.after.statuses == {200}
    assert story.after.versions == {"1.0.0"}
    assert [key for _, key, _ in story.after.answers] == list(story.after.asked)
    assert abs(story.after.metrics["process.threads"] - story.before.metrics["process.threads"]) <= 1
    assert (
        story.after.metrics["process.memory.usage"] - story.before.metrics["process.memory.usage"] < 8 * 2**20
    )
    assert story.after.metrics["db.client.connection.count"] == 0


@pytest.mark.parametrize("kind", [case.kind for cases in CASES.values() for case in cases])
def test_nothing_in_the_telemetry_names_a_fault(told: Told, kind: str) -> None:
    look = told(kind).during
    words = {str(value) for log in look.logs for value in attributes(log.attributes).values()}
    words |= {log.body.string_value for log in look.logs} | look.errors | look.metrics.keys()
    words |= {str(value) for span in look.spans for value in attributes(span.attributes).values()}
    for span in look.spans:
        words |= {str(value) for event in span.events for value in attributes(event.attributes).values()}
    assert [word for word in words if TELLTALES.search(word)] == []
    # Those of the network are there only for seconds with requests.
    own = {name for name in look.metrics if not name.startswith("network.")}
    assert told(kind).before.metrics.keys() >= own, "no metric more"


def test_a_wrong_address_fails_every_request_that_needs_a_call(told: Told) -> None:
    story = told("config-error")
    assert story.during.failed_share == 1.0
    assert story.during.errors == {"Get on spared lost its connection"}


def test_a_wrong_clock_shows_in_spans_logs_and_answers(told: Told) -> None:
    story = told("clock-skew")
    true_ns = 1000 * story.applied.at_us
    assert all(-660e9 < span.start_time_unix_nano - true_ns < -540e9 for span in story.during.spans)
    served = [log for log in story.during.logs if "served" in log.body.string_value]
    assert any(log.time_unix_nano - true_ns < -540e9 for log in story.during.logs)
    assert story.during.failed_share == 1.0, "what it calls is asked for what nobody waits for any more"
    assert served == []


def test_without_descriptors_what_needs_a_file_or_connection_fails(told: Told) -> None:
    story = told("fd-exhaustion")
    assert story.during.failed_share > 0.9
    told_of = [
        log.body.string_value for log in story.during.logs if "Too many open files" in log.body.string_value
    ]
    assert told_of
    assert len(told_of) < 60, "not once for each connection that waits"


def test_a_bad_version_is_slower_fails_and_says_which_it_is(told: Told) -> None:
    story = told("bad-deploy")
    assert story.before.versions == {"1.0.0"}
    assert story.during.versions == {"1.1.0"}
    assert story.during.median_ms >= 200
    assert 0.2 <= story.during.failed_share <= 0.8
    assert story.acted is not None
    assert story.acted >= REQUESTS


def test_wrong_answers_look_like_right_ones(told: Told) -> None:
    story = told("wrong-answer")
    assert story.during.statuses == {200}
    assert all(
        key != asked for (_, key, _), asked in zip(story.during.answers, story.during.asked, strict=True)
    )
    assert story.during.errors == set()


def test_a_flood_of_lines_is_so_many_for_each_request(told: Told) -> None:
    story = told("log-flood")
    per_request = (len(story.during.logs) - len(story.before.logs)) / REQUESTS
    assert 45 <= per_request <= 60


def test_who_is_killed_for_want_of_memory_comes_back(told: Told) -> None:
    story = told("oom-kill")
    assert "resident memory went from" in story.applied.evidence
    assert "is gone" in story.applied.evidence
    assert story.during.failed_share > 0
    assert "is healthy" in story.recovered.evidence


def test_a_full_disk_fails_what_writes_and_shows_in_its_use(told: Told) -> None:
    story = told("disk-full")
    assert story.during.failed_share == 1.0
    assert story.during.errors == {"[Errno 28] No space left on device: '/data/rows.log'"}
    assert story.during.metrics["system.filesystem.utilization"] > 0.99
    assert story.after.metrics["system.filesystem.utilization"] < 0.1


def test_a_slow_disk_makes_requests_slower_by_its_delay(told: Told) -> None:
    story = told("disk-slow")
    assert story.before.median_ms < 100
    assert story.during.median_ms >= 150
    assert story.after.median_ms < 100


def test_an_error_of_the_disk_fails_what_uses_it(told: Told) -> None:
    story = told("disk-error")
    assert story.during.failed_share == 1.0
    assert story.during.errors == {"[Errno 5] Input/output error: '/data/rows.log'"}


def test_a_failed_cache_has_no_hits(told: Told) -> None:
    story = told("cache-failure")
    assert story.before.metrics["cache.hit_ratio"] > 0.5
    assert story.during.metrics["cache.hit_ratio"] == 0.0
    assert story.during.median_ms >= 4
    assert story.during.statuses == {200}


def test_slow_queries_make_requests_slower_by_their_latency(told: Told) -> None:
    story = told("db-slow-query")
    assert story.before.median_ms < 100
    assert story.during.median_ms >= 200
    assert story.during.statuses == {200}


def test_without_connections_nobody_is_answered(told: Told) -> None:
    story = told("connection-pool-exhaustion")
    assert story.during.failed_share == 1.0
    assert story.during.metrics["db.client.connection.count"] == 8
    assert story.before.metrics["db.client.connection.count"] < 8


def test_behind_a_deadlock_nobody_is_answered_and_callers_give_up(told: Told) -> None:
    story = told("deadlock")
    assert story.during.failed_share == 1.0
    assert story.during.errors == {"the caller went away"}


def test_a_lock_that_is_held_longer_makes_requests_slower(told: Told) -> None:
    story = told("lock-contention")
    assert story.during.median_ms >= 150
    assert story.during.statuses == {200}


def test_a_memory_leak_shows_in_the_memory_of_the_process(told: Told) -> None:
    story = told("memory-leak")
    grown = story.during.metrics["process.memory.usage"] - story.before.metrics["process.memory.usage"]
    assert 0.9 * REQUESTS * 2**20 < grown < 34 * 2**20
    assert story.acted == REQUESTS


def test_a_small_heap_makes_requests_slower(told: Told) -> None:
    story = told("memory-limit")
    assert story.during.median_ms >= story.before.median_ms + 15, "each collects for 20 ms"


def test_a_thread_leak_shows_in_the_threads_of_the_process(told: Told) -> None:
    story = told("thread-leak")
    assert story.during.metrics["process.threads"] - story.before.metrics["process.threads"] == 12


def test_requests_for_what_is_not_there_miss_the_cache(told: Told) -> None:
    story = told("cache-penetration")
    assert story.before.metrics["cache.hit_ratio"] > 0.5
    assert story.acted is not None
    assert 0.5 * REQUESTS < story.acted <= 1.2 * REQUESTS
    assert story.during.metrics["cache.hit_ratio"] < 0.7


def test_who_is_throttled_waits_for_the_next_tenth_of_a_second(told: Told) -> None:
    story = told("cpu-limit")
    assert story.acted is not None
    assert story.acted >= 5
    # It waits before the service has read the request, so its own spans are short.
    assert sum(ms >= 80 for ms in story.during.asked_ms) >= 3


def test_pauses_hold_requests_up_and_take_the_processor(told: Told) -> None:
    story = told("gc-pause")
    assert story.acted is not None
    assert story.acted >= 4
    assert max(story.during.asked_ms) >= 150
    assert (
        story.during.metrics["process.cpu.utilization"]
        > story.before.metrics["process.cpu.utilization"] + 0.1
    )


def test_after_kill_9_of_the_instance_no_fault_is_left(target: Target, told: Told) -> None:
    told("disk-full")
    carried = ("disk-full", "cpu-limit", "thread-leak", "bad-deploy", "fd-exhaustion")
    for kind in carried:
        wire = KINDS[kind].from_text({}).wire()
        target.platform.mechanisms(kind)[0].apply("disk-0", f"f-{kind}", wire)
    before = target.instance("disk")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    eventually(
        lambda: target.instance("disk").pid not in (before.pid, None),
        timeout_s=PATIENCE_S,
        what="the next process",
    )
    eventually(lambda: target.ask("disk", "user-0")[0] == 200, timeout_s=PATIENCE_S, what="it to serve")
    assert target.left_on("disk") == []
    for kind in carried:
        wire = KINDS[kind].from_text({}).wire()
        assert not target.platform.mechanisms(kind)[0].holds("disk-0", f"f-{kind}", wire), kind
    pid = target.instance("disk").pid
    assert pid is not None
    assert psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)[0] == 1024


def test_a_limit_of_descriptors_is_lifted_by_a_later_injector(target: Target, told: Told) -> None:
    told("connection-pool-exhaustion")
    wire = KINDS["fd-exhaustion"].from_text({}).wire()
    target.platform.mechanisms("fd-exhaustion")[0].apply("pool-0", "f-lost", wire)
    later = LocalPlatform(target.state_file).mechanisms("fd-exhaustion")[0]
    with pytest.raises(Retryable):
        ControlClient(target.instance("pool").control_url, "").call("GET", "/healthz", timeout_s=1.0)
    assert len(later.release_unowned("pool-0", dict)) == 1
    eventually(lambda: target.ask("pool", "user-0")[0] == 200, timeout_s=PATIENCE_S, what="it to serve again")
