"""NAB's corpus: series of one value, and labels whose timestamps are in them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_dataset import START_US, Made, MadeFault, S, write_dataset

from microservo.datasets import export
from microservo.datasets.formats.nab import SIGNALS
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
CART = "cart-service-2"


@pytest.fixture
def corpus(exported: Exports) -> Path:
    return exported("nab")[0]


def labels_of(corpus: Path) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = json.loads((corpus / "labels" / "combined_windows.json").read_text())
    return found


def test_a_service_has_a_file_for_each_signal_that_it_has(corpus: Path) -> None:
    assert {path.name for path in (corpus / "data" / CART).iterdir()} == {
        f"{signal}.csv" for signal in SIGNALS if signal != "error_lines"
    }
    assert not (corpus / "data" / "host-1").exists(), "a host serves nothing"


def test_a_row_is_a_window_in_utc_with_a_value(corpus: Path, rows: Rows) -> None:
    found = rows(corpus / "data" / CART / "cpu.csv")
    assert list(found[0]) == ["timestamp", "value"]
    assert found[0]["timestamp"] == "2023-11-14 22:13:20"
    assert found[1]["timestamp"] == "2023-11-14 22:13:25"
    by_time = {row["timestamp"]: float(row["value"]) for row in found}
    assert by_time["2023-11-14 22:16:15"] == pytest.approx(0.9, abs=0.01), "175 s after the start"


def test_every_label_is_a_pair_of_timestamps_of_its_file_and_none_overlaps(corpus: Path, rows: Rows) -> None:
    labels = labels_of(corpus)
    files = {path.relative_to(corpus / "data").as_posix() for path in (corpus / "data").rglob("*.csv")}
    assert labels.keys() == files
    for name, windows in labels.items():
        timestamps = [row["timestamp"] for row in rows(corpus / "data" / name)]
        places = [[timestamps.index(bound.removesuffix(".000000")) for bound in pair] for pair in windows]
        assert all(first < last for first, last in places)
        assert all(behind[0] > before[1] for before, behind in itertools.pairwise(places))


def test_a_label_is_from_the_first_to_the_last_anomalous_window(corpus: Path) -> None:
    labels = labels_of(corpus)
    assert labels[f"{CART}/cpu.csv"] == [["2023-11-14 22:15:50.000000", "2023-11-14 22:16:40.000000"]]
    assert labels["front-end/cpu.csv"] == []


def test_masked_windows_are_left_out(corpus: Path, rows: Rows) -> None:
    times = [row["timestamp"] for row in rows(corpus / "data" / CART / "cpu.csv")]
    masked = datetime.fromtimestamp(START_US / S + 205, UTC).strftime("%Y-%m-%d %H:%M:%S")
    assert len(times) == 58
    assert masked not in times


def test_an_anomaly_of_one_window_has_two_rows_for_the_scorer_divides_by_the_width_less_one(
    tmp_path: Path,
) -> None:
    def short(name: str, second: float) -> MadeFault:
        return MadeFault(
            fault_id=name,
            kind="cpu-hog",
            service="carts-db",
            applied=second,
            recovered=second + 1,
            seen=(second + 1, second + 2),
        )

    faults = (short("first", 101), short("last", 297))
    write_dataset(tmp_path / "dataset", Made(faults=faults))
    export(tmp_path / "dataset", format_name="nab", out_dir=tmp_path / "out", progress=lambda *_: None)
    windows = labels_of(tmp_path / "out")["carts-db/cpu.csv"]
    assert windows == [
        # Behind the first lie two masked windows; behind the last nothing.
        ["2023-11-14 22:15:00.000000", "2023-11-14 22:15:15.000000"],
        ["2023-11-14 22:18:10.000000", "2023-11-14 22:18:15.000000"],
    ]


def test_anomalies_in_the_probation_are_counted(tmp_path: Path) -> None:
    early = MadeFault(
        fault_id="early", kind="cpu-hog", service="carts-db", applied=5, recovered=9, seen=(6, 9)
    )
    write_dataset(tmp_path / "dataset", Made(faults=(early,)))
    found = export(
        tmp_path / "dataset", format_name="nab", out_dir=tmp_path / "out", progress=lambda *_: None
    )
    assert "Service carts-db: 1 of its anomalies lie in the probation." in found.losses
