"""Any table of windows comes back from each format that holds one: features, Hugging Face, TSB-AD-M and NAB.

The other formats hold telemetry, of which no window can be made again without the rest of the run.
"""

from __future__ import annotations

import csv
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_dataset import START_US, Made, write_dataset

from microservo import Dataset
from microservo.datasets import export
from microservo.datasets.derived import with_derived_files
from microservo.datasets.formats.nab import SIGNALS
from microservo.datasets.imports.importer import Notes
from microservo.datasets.imports.registry import importer_named
from microservo.domain.datasets.manifest import MANIFEST
from microservo.domain.rows import MetricRows

Window = Mapping[str, Any]
WINDOW_US = 5_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAN = float("nan")
NO_FAULTS = Made(seconds=10, services=("cart",), faults=())
# Each example writes a dataset and reads it back.
FEWER = settings(max_examples=max(1, settings().max_examples // 4))

_TEXTS = st.text(min_size=1, max_size=6)
_NAMES = st.sampled_from([each for names in SIGNALS.values() for each in names]) | _TEXTS.map(
    "metric/{}".format
)
_FEATURES = st.dictionaries(_NAMES, st.floats() | st.sampled_from([NAN, -0.0, 5e-324]), max_size=5)


@st.composite
def tables(draw: st.DrawFn) -> list[Window]:
    """Windows in the order of the table, of some services, each with features of its own."""
    shift_us = draw(st.sampled_from([0, 1, 499_999]))
    services = draw(st.lists(_TEXTS, min_size=1, max_size=3, unique=True))
    places = st.tuples(st.integers(0, 6), st.sampled_from(services))
    found: list[Window] = []
    for number, service in sorted(draw(st.sets(places, min_size=1, max_size=10))):
        features = dict(sorted(draw(_FEATURES).items()))
        start_us = START_US + shift_us + number * WINDOW_US
        found.append(
            {
                "service": service,
                "start": start_us,
                "end": start_us + WINDOW_US,
                "truth": draw(st.sampled_from(["normal", "normal", "anomalous", "masked"])),
                "feature_names": list(features),
                "feature_values": list(features.values()),
            }
        )
    return found


Row = Mapping[str, Any]


def read_by_pyarrow(path: Path) -> Sequence[Row]:
    return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]


def read_by_pandas(path: Path) -> Sequence[Row]:
    return pd.read_parquet(path).to_dict("records")  # type: ignore[no-any-return]


def read_by_polars(path: Path) -> Sequence[Row]:
    return pl.read_parquet(path).to_dicts()


def read_by_duckdb(path: Path) -> Sequence[Row]:
    rows = duckdb.read_parquet(str(path))
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def read_by_dataset(path: Path) -> Sequence[Row]:
    return Dataset(path.parent).windows().to_arrow().to_pylist()  # type: ignore[no-any-return]


READERS = (read_by_pyarrow, read_by_pandas, read_by_polars, read_by_duckdb, read_by_dataset)


@FEWER
@given(windows=tables())
def test_every_reader_of_features_gives_each_window_its_values(windows: list[Window]) -> None:
    names = sorted({name for each in windows for name in each["feature_names"]})
    with TemporaryDirectory() as place:
        folder = Path(place) / "dataset"
        manifest = with_derived_files(folder, write_dataset(folder, NO_FAULTS, windows))
        (folder / MANIFEST).write_text(manifest.to_json(), "utf-8")
        found = {read.__name__: read(folder / "features.parquet") for read in READERS}
    for rows in found.values():
        assert list(rows[0])[len(rows[0]) - len(names) :] == names
        for row, window in zip(rows, windows, strict=True):
            features = features_of(window)
            assert (row["service"], row["truth"]) == (window["service"], window["truth"])
            assert (in_us(row["start"]), in_us(row["end"])) == (window["start"], window["end"])
            assert bits(row[name] for name in names) == bits(features.get(name, NAN) for name in names)


@FEWER
@given(windows=tables())
def test_hugging_face_has_every_window_as_it_was(windows: list[Window]) -> None:
    with exported(windows, "huggingface") as folder:
        parts = [pq.read_table(path) for path in sorted((folder / "data" / "windows").iterdir())]
        found = pa.concat_tables(parts).to_pylist()
    for row, window in zip(found, windows, strict=True):
        assert (row["service"], row["truth"]) == (window["service"], window["truth"])
        assert (in_us(row["start"]), in_us(row["end"])) == (window["start"], window["end"])
        assert row["feature_names"] == window["feature_names"]
        assert bits(row["feature_values"]) == bits(window["feature_values"])


@FEWER
@given(windows=tables())
def test_tsb_ad_m_has_every_judged_window_of_a_service_with_an_anomaly(windows: list[Window]) -> None:
    judged = {
        service: own
        for service, own in judged_windows(windows).items()
        if any(each["truth"] == "anomalous" for each in own)
    }
    assume(judged)
    with exported(windows, "tsb-ad-m") as folder:
        files = {row["service"]: row["file"] for row in csv_rows(folder / "series.csv")}
        assert files.keys() == judged.keys()
        for service, own in judged.items():
            found = csv_rows(folder / "TSB-AD-M" / files[service])
            names = sorted({name for each in own for name in each["feature_names"]})
            assert [row["Label"] for row in found] == [str(int(each["truth"] == "anomalous")) for each in own]
            for name in names:
                assert bits(float(row[name]) for row in found) == bits(newest_defined(own, name))


@FEWER
@given(windows=tables())
def test_nab_gives_its_importer_every_judged_window_of_a_signal(windows: list[Window]) -> None:
    expected = dict(signals_of(judged_windows(windows)))
    assume(expected)
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    with exported(windows, "nab") as folder:
        importer = importer_named("nab")
        (part,) = importer.parts(folder)
        for rows in importer.read(part, Notes()):
            if isinstance(rows, MetricRows):
                names = [rows.name.names[code] for code in rows.name.codes.tolist()]
                for time_us, name, value in zip(
                    rows.time_us.tolist(), names, rows.value.tolist(), strict=True
                ):
                    found.setdefault((rows.service, name), []).append((time_us, value))
    assert found.keys() == expected.keys()
    for key, points in expected.items():
        assert [time_us for time_us, _ in found[key]] == [time_us for time_us, _ in points]
        assert bits(value for _, value in found[key]) == bits(value for _, value in points)


@contextmanager
def exported(windows: list[Window], name: str) -> Iterator[Path]:
    with TemporaryDirectory() as place:
        write_dataset(Path(place) / "dataset", NO_FAULTS, windows)
        out = Path(place) / "out"
        export(Path(place) / "dataset", format_name=name, out_dir=out, progress=lambda *_: None)
        yield out


def features_of(window: Window) -> dict[str, float]:
    return dict(zip(window["feature_names"], window["feature_values"], strict=True))


def judged_windows(windows: list[Window]) -> dict[str, list[Window]]:
    """Those that have a truth, by service, in order of time."""
    found: dict[str, list[Window]] = {}
    for each in windows:
        if each["truth"] != "masked":
            found.setdefault(each["service"], []).append(each)
    return found


def newest_defined(windows: Sequence[Window], name: str) -> Iterator[float]:
    """The value of each window, or the newest finite one before it, or 0."""
    newest = 0.0
    for each in windows:
        value = features_of(each).get(name, NAN)
        newest = value if math.isfinite(value) else newest
        yield newest


def signals_of(
    judged: Mapping[str, list[Window]],
) -> Iterator[tuple[tuple[str, str], list[tuple[int, float]]]]:
    """Starts and values of the first feature of each signal that a service has, by service and signal."""
    for service, windows in judged.items():
        known = {name for each in windows for name in each["feature_names"]}
        for signal, features in SIGNALS.items():
            if name := next((each for each in features if each in known), None):
                starts = [each["start"] for each in windows]
                yield (service, signal), list(zip(starts, newest_defined(windows, name), strict=True))


def bits(values: Iterable[float]) -> list[bytes]:
    """What tells apart all floats but the NaNs."""
    return [struct.pack("<d", NAN if math.isnan(value) else value) for value in values]


def in_us(instant: datetime) -> int:
    """Exact, as `timestamp()` is not; pandas' instants have all of this too."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
