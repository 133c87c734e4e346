"""A collector joins a run, another is killed for good: the windows are those of a rebuild, to the byte."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from live_run import LiveRun, RunningCollector
from otlp_requests import line, logs, resource

from microservo import Client
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidInput
from microservo.log.runs import runs
from microservo.log.writers import COLLECTOR_WRITER, INJECTOR_WRITER
from microservo.testing import eventually

pytestmark = pytest.mark.integration

S = 1_000_000
POLICY = WindowPolicy(size_us=S, first_cut_us=S, final_cut_us=3 * S)
PARTITIONS = 2
SECOND = "collector-2"
TICKS = "log/template/tick"


class Collector:
    """A collector and a sender that gives it log lines, many of them equal."""

    def __init__(self, running: RunningCollector) -> None:
        self._port = running.port
        self._service = f"of-{running.name}"
        self._process = running.process
        self.sent = 0

    def post(self) -> bool:
        """Sends five equal lines; some twice, as one whose answer was lost."""
        body = logs([line(now_us(), "tick")] * 5, resource(self._service)).SerializeToString()
        with suppress(OSError):
            for _ in range(2 if self.sent % 3 == 0 else 1):
                self._send(body)
            self.sent += 1
            return True
        return False

    def _send(self, body: bytes) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("POST", "/v1/logs", body, {"Content-Type": "application/x-protobuf"})
            assert connection.getresponse().status == 200

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


def post_for(seconds: float, *collectors: Collector) -> None:
    deadline_s = time.monotonic() + seconds
    for collector in itertools.cycle(collectors):
        collector.post()
        if time.monotonic() > deadline_s:
            return
        threading.Event().wait(0.1)


def test_live_windows_are_rebuilt_though_a_collector_joins_and_another_is_killed_for_good(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    site = LiveRun(kafka_broker, topic_prefix, tmp_path, partitions=PARTITIONS, policy=POLICY)
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    with (
        site.pipeline.workers(),
        site.injector(),
        site.collector(COLLECTOR_WRITER) as one,
        site.collector(SECOND) as other,
    ):
        first, second = Collector(one), Collector(other)
        eventually(first.post, timeout_s=60, what="the first collector takes telemetry")
        post_for(3, first)
        eventually(second.post, timeout_s=60, what="the second collector takes telemetry")
        post_for(3, first, second)
        first.kill()
        killed_us = now_us()
        with pytest.raises(InvalidInput, match="still writes"):
            client.runs.retire_writer(COLLECTOR_WRITER)
        post_for(6, second)
        assert not site.has_windows_after(killed_us, f"of-{SECOND}"), "the killed one might come back"
        client.runs.retire_writer(COLLECTOR_WRITER)
        eventually(
            partial(site.has_windows_after, killed_us, f"of-{SECOND}"),
            timeout_s=60,
            what="windows that wait for the killed collector no longer",
        )
        post_for(5, second)
        site.end()
        dataset = tmp_path / "dataset"
        manifest = rebuild(kafka_broker, run_id="run-1", out_dir=dataset, topic_prefix=topic_prefix)
        eventually(
            lambda: verify_against_live(dataset, kafka_broker, topic_prefix) == [],
            timeout_s=60,
            what="the rebuilt windows are the live ones, to the byte",
        )
    assert verify(dataset) == []
    assert manifest.totals["telemetry-logs"]["rejected_messages"] == 0
    (run,) = runs(kafka_broker, topic_prefix)
    assert {each.writer for each in run.writers} == {COLLECTOR_WRITER, SECOND, INJECTOR_WRITER}
    counted = [
        each.values[each.names.index(TICKS)]
        for each in site.windows()
        if each.revision == 0 and TICKS in each.names
    ]
    assert len(counted) > 5
    assert {count % 5 for count in counted} == {0.0}, "five equal lines are five, sent once or twice"
