"""`microservo collect` from a real Prometheus: a past range becomes a run, though it is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from real_prometheus import RealPrometheus, need, real_prometheus
from stream_processor import Pipeline

from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.log.collected_minutes import collected_minutes
from microservo.log.runs import runs
from microservo.testing import eventually

pytestmark = pytest.mark.integration

COMMAND = (sys.executable, "-P", "-c", "from microservo.cli import main; main()")
BEGIN_S = 1_769_860_800
MINUTES = 12
SCRAPE_S = 5
AWAY = range(6 * 60, 6 * 60 + 40)
"""Seconds in which nothing was scraped."""
SOURCES = """
[[source]]
kind = "prometheus"
url = "{url}"
scrape_s = 5
kpis = []
[[source.query]]
match = '{{job="shop"}}'
[[source.query]]
expr = "sum("
name = "broken"
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPrometheus]:
    """One that holds twelve minutes of long ago, with a gap."""
    need("promtool", packages="prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    written = folder / "past.txt"
    written.write_text(_past())
    block = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(written), str(folder / "data")]
    subprocess.run(block, check=True, capture_output=True)
    with real_prometheus(folder, retention="10y") as running:
        yield running


def _past() -> str:
    seconds = [each for each in range(0, MINUTES * 60, SCRAPE_S) if each not in AWAY]
    text = ""
    for name, kind, metric in (
        ("up", "gauge", "up"),
        ("shop_queue", "gauge", "shop_queue"),
        ("shop_requests", "counter", "shop_requests_total"),
    ):
        text += f"# TYPE {name} {kind}\n"
        for each in seconds:
            value = 1 if name == "up" else each
            text += f'{metric}{{job="shop",instance="shop:80"}} {value} {BEGIN_S + each}.25\n'
    return text + "# EOF\n"


def test_a_past_range_killed_in_the_middle_becomes_a_run_whose_windows_are_the_same_live_and_rebuilt(
    kafka_broker: KafkaBroker, topic_prefix: str, prometheus: RealPrometheus, tmp_path: Path
) -> None:
    # Nothing is written before the collection begins.
    patient = {"MICROSERVO_SILENCE_S": "600"}
    pipeline = Pipeline(kafka_broker, topic_prefix, tmp_path, partitions=3, environment=patient)
    sources = tmp_path / "sources.toml"
    sources.write_text(SOURCES.format(url=prometheus.url))
    arguments = [
        *(*COMMAND, "--bootstrap-servers", kafka_broker.settings.bootstrap_servers),
        *("--topic-prefix", topic_prefix, "collect", "--json", "--sources", str(sources)),
        *("--from", "2026-01-31T12:00:30Z", "--to", "2026-01-31T12:12:00Z"),
    ]
    environment = {**os.environ, "MICROSERVO_HOME": str(tmp_path / "home")}
    with pipeline.workers():
        with subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL) as process:
            run_id = _killed_in_the_middle(process, kafka_broker, topic_prefix)
        again = subprocess.run(
            [*arguments, "--run", run_id],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert again.returncode == 0, again.stderr
        (run,) = runs(kafka_broker, topic_prefix)
        assert (run.run_id, run.status) == (run_id, "finished")
        assert (run.started_at_us, run.finished_at_us) == (BEGIN_S * 10**6, (BEGIN_S + 720) * 10**6)
        manifest = rebuild(
            kafka_broker, run_id=run_id, out_dir=tmp_path / "dataset", topic_prefix=topic_prefix
        )
        assert verify(tmp_path / "dataset") == []
        assert manifest.unfinished_windows == 0
        eventually(
            lambda: verify_against_live(tmp_path / "dataset", kafka_broker, topic_prefix) == [],
            timeout_s=120,
            interval_s=2,
            what="the live windows",
        )
    _check_report([json.loads(line) for line in again.stdout.splitlines()])
    metrics = pq.read_table(tmp_path / "dataset" / "metrics.parquet").to_pylist()
    queue = [(each["time"].timestamp(), each["value"]) for each in metrics if "shop_queue" in each["name"]]
    scraped = [each for each in range(0, MINUTES * 60, SCRAPE_S) if each not in AWAY]
    assert sorted(set(queue)) == [(BEGIN_S + each + 0.25, float(each)) for each in scraped]
    windows = pq.read_table(tmp_path / "dataset" / "windows.parquet").to_pylist()
    assert len(windows) == MINUTES * 12
    assert {each["service"] for each in windows} == {"shop"}


def _killed_in_the_middle(process: subprocess.Popen[bytes], broker: KafkaBroker, prefix: str) -> str:
    """Kills it once a minute is noted; the run that it began."""

    def is_under_way() -> bool:
        assert process.poll() is None, "it ended by itself"
        found = runs(broker, prefix)
        return bool(found) and bool(collected_minutes(broker, found[0].run_id, prefix))

    eventually(is_under_way, timeout_s=180, interval_s=0.05, what="the first minute")
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    (run,) = runs(broker, prefix)
    assert run.status == "running"
    assert len(collected_minutes(broker, run.run_id, prefix)) < MINUTES
    return run.run_id


def _check_report(minutes: list[dict[str, object]]) -> None:
    assert [each["start_us"] for each in minutes] == [
        (BEGIN_S + 60 * number) * 10**6 for number in range(MINUTES)
    ]
    assert {each["due"] for each in minutes} == {12}
    assert [each["held"] for each in minutes] == [4 if number == 6 else 12 for number in range(MINUTES)]
    # Each scrape has `up` itself, a gauge, and a counter as such and as a level.
    assert [each["metrics"] for each in minutes] == [4 * each["held"] for each in minutes]  # type: ignore[operator]
    assert {tuple(each["left_out"]) for each in minutes} == {("sum(",)}  # type: ignore[arg-type]
