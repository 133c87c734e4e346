from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from recorded_run import record_run
from synthetic import Story

from microservo.datasets import content_hash, rebuild, verify
from microservo.datasets.twin import TWIN, add_twin
from microservo.domain.twin import TwinEffect, TwinRow
from microservo.errors import InvalidInput
from microservo.testing import MemoryBroker

EFFECT = TwinEffect(
    fault_id="f-1",
    kind="http-abort",
    root_service="cart",
    service="frontend",
    applied_us=1_000,
    recovered_us=9_000,
    first_us=2_000,
    what="Get of cart: failed",
    pairs=40,
    deviating=20,
)
ROWS = [
    TwinRow(effect=EFFECT, effect_seen_at_us=2_500),
    TwinRow(effect=replace(EFFECT, service="cart", first_us=None, what=""), effect_seen_at_us=None),
]


def test_a_dataset_keeps_what_its_twin_showed_and_verifies_still(tmp_path: Path) -> None:
    broker = MemoryBroker()
    run = record_run(broker, Story(seconds=10, drain_s=1))
    dataset = tmp_path / "dataset"
    manifest = rebuild(broker, run_id=run.run_id, out_dir=dataset)
    add_twin(dataset, "run-2", ROWS)
    assert verify(dataset) == []
    assert content_hash(dataset) == manifest.content_hash
    first, second = pq.read_table(dataset / TWIN).to_pylist()
    assert (first["fault_id"], first["service"], first["twin_run_id"]) == ("f-1", "frontend", "run-2")
    assert (first["first_deviating_at"].microsecond, first["effect_seen_at"].microsecond) == (2_000, 2_500)
    assert (second["first_deviating_at"], second["effect_seen_at"]) == (None, None)
    (dataset / TWIN).write_bytes(b"tampered")
    assert any(TWIN in problem for problem in verify(dataset))


def test_what_is_no_dataset_gets_no_twin(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no dataset"):
        add_twin(tmp_path, "run-2", ROWS)
