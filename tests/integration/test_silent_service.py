"""A service with an SDK at its defaults is whole in revision 0; paused it is silent, until declared gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live_run import LiveRun

from microservo import Client
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.domain.window_policy import WindowPolicy
from microservo.log.runs import runs
from microservo.testing import eventually
from schemas.records import LabelledWindow

pytestmark = pytest.mark.integration

S = 1_000_000
POLICY = WindowPolicy(size_us=S, first_cut_us=S, final_cut_us=3 * S)
SENDER = """
import sys, time
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

provider = TracerProvider(resource=Resource.create({"service.name": "jshop"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(sys.argv[1] + "/v1/traces")))
tracer = provider.get_tracer("shop")
while True:
    with tracer.start_as_current_span("GetCart", kind=SpanKind.SERVER):
        time.sleep(0.02)
"""


@contextmanager
def shop(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A service whose SDK gathers spans for five seconds before it sends them."""
    argv = [sys.executable, "-c", SENDER, f"http://127.0.0.1:{port}"]
    with subprocess.Popen(argv, env={"PYTHONWARNINGS": "ignore"}) as process:
        try:
            yield process
        finally:
            process.kill()


def windows_of(run: LiveRun, from_us: int, revision: int = 0) -> list[tuple[int, dict[str, float]]]:
    """Start and features of the windows of jshop that start after an instant."""

    def counts(each: LabelledWindow) -> bool:
        return each.service == "jshop" and each.start_us > from_us and each.revision == revision

    return [
        (each.start_us, dict(zip(each.names, each.values, strict=True)))
        for each in run.windows()
        if counts(each)
    ]


def silent_after(run: LiveRun, from_us: int) -> list[dict[str, float]]:
    return [features for _, features in windows_of(run, from_us) if features["telemetry/silent"]]


def test_a_service_is_whole_then_silent_over_a_restart_of_the_collector_then_gone(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    run = LiveRun(kafka_broker, topic_prefix, tmp_path, partitions=2, policy=POLICY)
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    delays = {"MICROSERVO_DELAYS_S": '{"jshop": 6}'}
    with run.pipeline.workers(), run.injector():
        with run.collector(**delays) as collector:
            eventually(lambda: run.has_windows_after(0, "host"), timeout_s=60, what="windows")
            with shop(collector.port) as sender:
                seen = eventually(lambda: windows_of(run, 0), timeout_s=60, what="windows of jshop")
                eventually(lambda: len(windows_of(run, seen[0][0])) > 8, timeout_s=60, what="more of them")
                paused_us = now_us()
                sender.send_signal(signal.SIGSTOP)
                found = eventually(
                    lambda: silent_after(run, paused_us), timeout_s=60, what="windows of a silent service"
                )
                collector.process.kill()
        with run.collector(**delays):
            again_us = now_us()
            eventually(
                lambda: silent_after(run, again_us), timeout_s=60, what="its silence after the restart"
            )
            gone_us = client.runs.retire_service("jshop").at_us
            eventually(
                lambda: run.has_windows_after(gone_us + 9 * S, "host"), timeout_s=60, what="later windows"
            )
            run.end()
            dataset = tmp_path / "dataset"
            rebuild(kafka_broker, run_id="run-1", out_dir=dataset, topic_prefix=topic_prefix)
            eventually(
                lambda: verify_against_live(dataset, kafka_broker, topic_prefix) == [],
                timeout_s=60,
                what="the rebuilt windows are the live ones, to the byte",
            )
    assert verify(dataset) == []
    # Its first spans tell of seconds in which nobody knew of it yet.
    known_us = seen[0][0] + 2 * S
    steady = [features for start_us, features in windows_of(run, known_us) if start_us < paused_us - 2 * S]
    assert min(features["request/GetCart/count"] for features in steady) > 10
    assert not any(features["telemetry/silent"] for features in steady)
    assert windows_of(run, known_us, revision=1) == [], "revision 0 held all"
    assert {features["request/GetCart/count"] for features in found} == {0.0}
    assert not windows_of(run, gone_us + 3 * S), "it is gone, and not silent any more"
    (record,) = runs(kafka_broker, topic_prefix)
    assert [each.service for each in record.gone] == ["jshop"]
