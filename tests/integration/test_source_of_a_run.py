"""`microservo up` with a real Prometheus as a source beside OTLP: its writer, its lag, and live = rebuilt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from real_prometheus import Exporter, real_prometheus

from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.log.runs import runs
from microservo.log.source_cursors import read_cursors
from microservo.testing import eventually

pytestmark = pytest.mark.integration

COMMAND = (sys.executable, "-P", "-c", "from microservo.cli import main; main()")
TINY = """
name = "tiny"
entry = "front"
[services.front.endpoints.Home]
cpu_ms = 0.2
[[journeys]]
name = "home"
weight = 1
steps = [{ endpoint = "Home" }]
"""
SOURCES = """
[[source]]
kind = "prometheus"
name = "metrics-of-shop"
url = "{url}"
scrape_s = 1
lag_s = 3
late_s = 0
kpis = []
[[source.query]]
match = 'shop_queue{{job="shop"}}'
"""
S = 1_000_000
READ_S = 60
"""Longer than the final cut: some windows are final before the run ends."""


def test_a_run_reads_a_prometheus_beside_otlp_and_its_windows_are_the_same_live_and_rebuilt(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "MICROSERVO_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    options = ("--bootstrap-servers", kafka_broker.settings.bootstrap_servers, "--topic-prefix", topic_prefix)
    sources, topology, log = (tmp_path / each for each in ("sources.toml", "tiny.toml", "up.log"))
    topology.write_text(TINY)
    with real_prometheus(tmp_path / "prometheus") as prometheus:
        exporter = Exporter(prometheus.shop_port)
        exporter.queue.set(7)
        sources.write_text(SOURCES.format(url=prometheus.url))
        up = [*COMMAND, *options, "up", "--sources", str(sources), "--topology", str(topology)]
        up += ["--otlp-port", "0", "--otlp-grpc-port", "0", "--journeys-per-s", "4", "--partitions", "1"]
        with (
            log.open("w") as out,
            subprocess.Popen(up, env=environment, stdout=out, stderr=out) as process,
        ):
            try:
                eventually(
                    lambda: "is running" in log.read_text() or process.poll() is not None,
                    timeout_s=400,
                    what="the system",
                )
                assert process.poll() is None, log.read_text()
                (run,) = runs(kafka_broker, topic_prefix)
                began_us = now_us()
                cursor = f"{run.run_id}/metrics-of-shop"
                eventually(
                    lambda: _read_until_us(kafka_broker, topic_prefix, cursor) > began_us + READ_S * S,
                    timeout_s=180,
                    interval_s=1,
                    what="a minute more of the source",
                )
                doctor = subprocess.run(
                    [*COMMAND, *options, "doctor"],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert "source metrics-of-shop of default" in doctor.stdout
                assert "read up to" in doctor.stdout
                process.send_signal(signal.SIGINT)
                process.wait(180)
            finally:
                process.kill()
        exporter.end()
    manifest = rebuild(
        kafka_broker, run_id=run.run_id, out_dir=tmp_path / "dataset", topic_prefix=topic_prefix
    )
    assert manifest.run.status == "finished"
    assert verify(tmp_path / "dataset") == []
    assert verify_against_live(tmp_path / "dataset", kafka_broker, topic_prefix) == []
    metrics = pq.read_table(tmp_path / "dataset" / "metrics.parquet").to_pylist()
    queue = {each["time"] for each in metrics if each["service"] == "shop" and each["value"] == 7}
    assert len(queue) >= READ_S // 2
    windows = pq.read_table(tmp_path / "dataset" / "windows.parquet").to_pylist()
    assert {"front", "shop"} <= {each["service"] for each in windows}
    declared = {(each.writer, each.topic) for each in runs(kafka_broker, topic_prefix)[0].writers}
    assert ("metrics-of-shop", "telemetry-metrics") in declared


def _read_until_us(broker: KafkaBroker, prefix: str, cursor: str) -> int:
    found = read_cursors(broker, prefix).get(cursor)
    return found.until_us if found else 0
