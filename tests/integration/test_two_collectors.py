"""A collector joins a run, another is killed for good: the windows are those of a rebuild, to the byte."""

from __future__ import annotations

import http.client
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from otlp_requests import line, logs, resource
from recorded_run import end_offsets
from stream_processor import Pipeline

from microservo import Client
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.domain.windows import WindowPolicy
from microservo.errors import InvalidInput
from microservo.log.run_records import update_run, write_run
from microservo.log.runs import runs
from microservo.log.stamped import StampedWriter
from microservo.log.writers import COLLECTOR_WRITER, INJECTOR_WRITER, writers_from
from microservo.testing import eventually
from schemas.catalogue import LABELLED_WINDOWS, SERVICE_FAULTS
from schemas.codec import decode_as
from schemas.records import Experiment, LabelledWindow

pytestmark = pytest.mark.integration

S = 1_000_000
POLICY = WindowPolicy(size_us=S, first_cut_us=S, final_cut_us=3 * S)
CUTS_US = {"first_cut_us": POLICY.first_cut_us, "final_cut_us": POLICY.final_cut_us}
PARTITIONS = 2
SECOND = "collector-2"
TICKS = "log/template/tick"


class Site:
    """A run on a broker, with a labeller, collectors, and an injector that has nothing to do."""

    def __init__(self, broker: KafkaBroker, prefix: str, folder: Path) -> None:
        self.broker, self.prefix, self.folder = broker, prefix, folder
        self.pipeline = Pipeline(
            broker,
            prefix,
            folder,
            partitions=PARTITIONS,
            environment={
                "MICROSERVO_WINDOW_S": "1",
                "MICROSERVO_FIRST_CUT_S": "1",
                "MICROSERVO_FINAL_CUT_S": "3",
            },
        )
        eventually(self._begin, timeout_s=60, what="leaders of all partitions")

    def _begin(self) -> bool:
        run = Experiment(
            run_id="run-1",
            status="running",
            seed=0,
            target="two collectors",
            started_at_us=now_us(),
            window_us=POLICY.size_us,
            start_offsets=end_offsets(self.broker, self.prefix),
            end_offsets={},
            versions={},
            writers=writers_from(now_us(), **CUTS_US),
            gone=(),
            **CUTS_US,
        )
        write_run(self.broker, run, process="system", clock=now_us, topic_prefix=self.prefix)
        return True

    def end(self) -> None:
        ends = end_offsets(self.broker, self.prefix)
        self.update(lambda run: replace(run, status="finished", end_offsets=ends))

    def update(self, change: Callable[[Experiment], Experiment]) -> None:
        update_run(
            self.broker,
            "run-1",
            change,
            process="system",
            clock=now_us,
            topic_prefix=self.prefix,
        )

    @contextmanager
    def injector(self) -> Iterator[None]:
        """Heartbeats on the topic of faults."""
        over = threading.Event()
        writer = StampedWriter(
            self.broker,
            self.prefix + SERVICE_FAULTS,
            writer=INJECTOR_WRITER,
            run_id=lambda: "run-1",
            clock=now_us,
            source="/test",
        )

        def beat() -> None:
            while not over.wait(0.1):
                writer.tick()

        with writer:
            beating = threading.Thread(target=beat)
            beating.start()
            try:
                yield
            finally:
                over.set()
                beating.join()

    @contextmanager
    def collector(self, name: str) -> Iterator[Collector]:
        port, health_port = free_ports(2)
        environment = {
            "MICROSERVO_BOOTSTRAP_SERVERS": self.broker.settings.bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": self.prefix,
            "MICROSERVO_RUN_ID": "run-1",
            "MICROSERVO_WRITER": name,
            "MICROSERVO_OTLP_PORT": str(port),
            "MICROSERVO_OTLP_GRPC_PORT": "0",
            "MICROSERVO_HEALTH_PORT": str(health_port),
        }
        with (
            (self.folder / f"{name}.log").open("wb") as out,
            subprocess.Popen(
                [sys.executable, "-m", "services.telemetry_collector"],
                env=environment,
                stdout=out,
                stderr=out,
            ) as process,
        ):
            try:
                yield Collector(name, port, process)
            finally:
                process.kill()

    def windows(self) -> list[LabelledWindow]:
        messages = self.pipeline.read(LABELLED_WINDOWS)
        return [decode_as(LabelledWindow, each.value) for each in messages if each.value]

    def has_windows_after(self, at_us: int, service: str) -> bool:
        return any(each.start_us > at_us and each.service == service for each in self.windows())


class Collector:
    """A collector and a sender that gives it log lines, many of them equal."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes]) -> None:
        self._port = port
        self._service = f"of-{name}"
        self._process = process
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
    site = Site(kafka_broker, topic_prefix, tmp_path)
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    with (
        site.pipeline.workers(),
        site.injector(),
        site.collector(COLLECTOR_WRITER) as first,
        site.collector(SECOND) as second,
    ):
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
