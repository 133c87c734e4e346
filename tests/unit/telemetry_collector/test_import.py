"""A recording of others becomes a run: its faults, values and spans are those of the recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from microservo.adapters.broker import Broker
from microservo.application import importing
from microservo.application.connection import Connection
from microservo.application.importing import Import
from microservo.application.progress import CallbackProgress, Stage
from microservo.datasets import rebuild, verify
from microservo.datasets.imports.span_of_time import ALL_OF_IT
from microservo.log.runs import runs
from microservo.log.topics import topic_specs
from microservo.runtime.shutdown import Shutdown
from microservo.sources.past import PastRange
from microservo.testing import MemoryBroker
from services.telemetry_collector.past import collect_past
from services.telemetry_collector.settings import Settings

S = 1_000_000
AT_S = 1_661_140_260


class InProcess:
    """Reads the past with the collector, which is no process of its own here."""

    def __init__(self, broker: Broker, prefix: str, run_id: str, past: PastRange, folder: Path) -> None:
        self._broker, self._past = broker, past
        self._settings = Settings.model_validate({"run_id": run_id, "topic_prefix": prefix})

    def read(self, shown: Stage) -> None:
        collect_past(self._settings, self._broker, self._past, Shutdown(signals=()))
        shown.advance(1, 1)

    def close(self) -> None:
        pass


def test_a_case_becomes_a_run_with_its_fault_its_values_and_its_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    case = tmp_path / "cart_cpu" / "1"
    case.mkdir(parents=True)
    (case / "inject_time.txt").write_text(f"{AT_S + 400}\n")
    rows = "".join(f"{AT_S + each},{1 if each < 400 else 90}.5\n" for each in range(600))
    (case / "simple_metrics.csv").write_text(f"time,cart_cpu\n{rows}")
    spans = "".join(
        f"{each:032x},{each * 2 + 1:016x},,front,Get,{AT_S + each}000000,900,0\n"
        f"{each:032x},{each * 2 + 2:016x},{each * 2 + 1:016x},cart,Add,{AT_S + each}000100,100,0\n"
        for each in range(1, 590)
    )
    head = "traceID,spanID,parentSpanID,serviceName,operationName,startTime,duration,statusCode\n"
    (case / "traces.csv").write_text(head + spans)
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix="", partitions=3))
    monkeypatch.setattr(importing, "PastReader", InProcess)
    with Import(
        Connection(broker=broker, topic_prefix=""),
        tmp_path,
        format_name="auto",
        within=ALL_OF_IT,
        speed=None,
        progress=CallbackProgress(lambda *_: None),
    ) as job:
        (imported,) = job.publish()
    (run,) = runs(broker, "")
    assert (run.run_id, run.status) == (imported.run_id, "finished")
    assert run.started_at_us == AT_S * S // 60_000_000 * 60_000_000
    assert run.fault_free_until_us == (AT_S + 399) * S, "a second of doubt before the first label"
    folder = tmp_path / "back"
    manifest = rebuild(broker, run_id=run.run_id, out_dir=folder)
    assert verify(folder) == []
    assert manifest.unfinished_windows == 0
    (fault,) = table(folder, "faults")
    assert (fault["service"], fault["kind"], fault["origin"]) == ("cart", "cpu", "declared")
    assert fault["applied_at"].timestamp() == AT_S + 400
    assert (fault["recovered_at"], fault["state"]) == (None, "stopped")
    values = {(each["time"].timestamp(), each["value"]) for each in table(folder, "metrics")}
    assert values >= {(AT_S + each, 1.5 if each < 400 else 90.5) for each in range(600)}
    assert len(table(folder, "traces")) == 2 * 589
    assert {each["service"] for each in table(folder, "effects")} == {"cart", "front"}
    found = [(each["service"], each["finding"], each["evidence"]) for each in table(folder, "effects")]
    assert "anomalous" in {each["truth"] for each in table(folder, "windows")}, found


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return found
