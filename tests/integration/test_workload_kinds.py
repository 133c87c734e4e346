"""The kinds of faults that instances and their processes carry, side by side on one started target.

Each service goes through some kinds, one after another: some requests before, during and after each. What the
telemetry shows of them is looked at by one test for each kind.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import psutil
import pytest
from lived_faults import PATIENCE_S, REQUESTS, SECOND_US, Case, Story, Target, running
from otlp_receiver import attributes

from microservo.domain.faults.catalogue import KINDS
from microservo.errors import Retryable
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.platform import LocalPlatform
from microservo.testing import eventually

pytestmark = pytest.mark.integration

TOPOLOGY = """
name = "kinds"
entry = "front"
[services.front.endpoints.Get]
calls = [ { service = "spared", endpoint = "Get", timeout_ms = 5000 } ]
[services.spared.endpoints.Get]
[services.back.endpoints.Get]
[services.reader.endpoints.Get]
calls = [ { service = "source", endpoint = "Get", timeout_ms = 5000 } ]
[services.source.endpoints.Get]
[services.disk.endpoints.Get]
[services.pool.endpoints.Get]
[services.memory]
heap = { garbage_kb = 64, collect_mb = 4, collect_ms = 20 }
[services.memory.endpoints.Get]
[services.core.endpoints.Get]
cpu_ms = 8.0
[[journeys]]
name = "look"
steps = [ { endpoint = "Get" } ]
"""


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
    "source": [Case("cascade")],
    "disk": [
        Case("disk-full"),
        Case("disk-slow", {"volume": "/data", "delay": "150ms"}),
        Case("disk-error", {"volume": "/data"}),
        Case("cache-failure"),
        Case("gc-pause", {"pause": "250ms", "interval": "100ms"}, gap_s=0.05),
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
        Case("cpu-limit"),
        Case("oom-kill", {"size": "64MiB"}),
    ],
}
# Words by which telemetry would name a fault.
TELLTALES = re.compile(
    r"\bfaults?\b|inject|chaos|spoil|\bhog|leak|deadlock|flood|skew|exhaust|\bf-[a-z]", re.IGNORECASE
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("target")
    with running(home, TOPOLOGY) as made:
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
    # Where others want the processors too, it gets a part only of the 70 % that it asks for.
    assert (
        story.during.metrics["process.cpu.utilization"]
        > 1.5 * story.before.metrics["process.cpu.utilization"]
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


def test_a_second_failure_follows_from_the_first_at_the_service_that_calls(
    target: Target, told: Told
) -> None:
    told("cascade")
    mechanism, wire = (
        target.platform.mechanisms("cascade")[0],
        KINDS["cascade"].from_text({}).wire(),
    )

    def spent_s(service: str) -> float:
        """Processor time of one request to the caller, at a service."""
        pid = target.instance(service).pid
        assert pid is not None
        before = psutil.Process(pid).cpu_times()
        for number in range(REQUESTS):
            assert target.ask("reader", f"user-{number}")[0] == 200
        after = psutil.Process(pid).cpu_times()
        return (after.user + after.system - before.user - before.system) / REQUESTS

    calm_s = spent_s("reader")
    mechanism.apply("source-0", "f-first", wire)
    source_s, reader_s = spent_s("source"), spent_s("reader")
    mechanism.recover("source-0", "f-first", wire)
    assert reader_s > calm_s + 0.015, "it reads all that it is sent"
    assert reader_s > 3 * source_s, "the first failure costs little where it is"
    assert spent_s("reader") < calm_s + 0.01
