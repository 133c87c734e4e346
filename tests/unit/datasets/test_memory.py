"""What is in memory does not grow with the length of a run: counted, not measured."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from recorded_run import record_run
from synthetic import Story

from microservo.datasets import rebuild, share
from microservo.datasets.files import TableFile
from microservo.datasets.join import Join
from microservo.datasets.spool import Spool
from microservo.testing import MemoryBroker


class Watched(Join):
    """Remembers how much it held at most."""

    most = 0

    def close(self) -> None:
        super().close()
        Watched.most = max(Watched.most, self.held)


def most_held(seconds: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(share, "Join", Watched)
    Watched.most = 0
    broker = MemoryBroker()
    record_run(broker, Story(seconds=seconds, services=("cart", "checkout")), partitions=2)
    rebuild(broker, run_id="run-1", out_dir=folder / str(seconds), batch=50)
    return Watched.most


def test_a_run_four_times_as_long_holds_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (most_held(seconds, tmp_path, monkeypatch) for seconds in (400, 1600))
    # Within the first minutes partitions still drift apart, by a minute at the most.
    assert 0 < long < 1.1 * short


def test_a_growing_file_holds_less_than_a_block(tmp_path: Path) -> None:
    rows = pa.table({"a": pa.array(range(30_000), pa.int64())})
    with TableFile(tmp_path / "a.parquet", rows.schema) as file:
        for _ in range(20):
            file.append(rows)
            assert file.pending_rows < 65_536
        file.close()


def test_a_spool_holds_little_and_gives_all_back_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    minute_us = 60_000_000
    sent = [(minute * minute_us, b"%d" % minute * 1000) for minute in [*range(600, 0, -1), *range(600)]]
    for time_us, value in sent:
        spool.add(time_us, value)
        assert spool.held_bytes < 1_100_000
    for _ in range(2):
        groups = list(spool)
        assert sorted(value for values in groups for value in values) == sorted(value for _, value in sent)
        minutes = [{int(value[: len(value) // 1000]) for value in values} for values in groups]
        assert all(max(one) < min(other) for one, other in pairwise(minutes))
        assert all(len(values) <= 20 for values in groups)
