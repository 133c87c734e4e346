"""Loading `features.parquet` of a million windows, with time and memory: `python -m benchmarks.features`.

Each loading is a process of its own, in turns; what a process takes before it (libraries, interpreter) is not
counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.command import run
from benchmarks.feature_loading import PANDAS, PEERS, POLARS, PYARROW, WAYS
from benchmarks.figures import Figure, figure
from benchmarks.made_recording import make_dataset
from benchmarks.processes import measure, own_python
from microservo.datasets.feature_table import FEATURES, KEYS, FeatureRows, feature_writer

COMMAND = "python -m benchmarks.features"
_ROUNDS = 3
_TIMEOUT_S = 300
_BLOCK = 32_768
"""Rows of a row group, as of a dataset with so many features."""
_WINDOW_US = 5_000_000
_SERVICES = 32
_ABSENT = 0.3
"""Share of values that are NaN: a service has not all features that there are."""
_MIB = 2**20


def figures(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Windows a second and memory of each way, against the plain reader of what it gives."""
    dataset = folder / "dataset"
    make_dataset(dataset, 200)
    size_bytes = write_features(dataset, given.windows, given.features)
    taken: dict[str, list[Mapping[str, float]]] = {name: [] for name in WAYS}
    for _ in range(_ROUNDS):
        for name, found in taken.items():
            found.append(_loaded(name, dataset))
    rate = {name: given.windows / min(each["elapsed_s"] for each in found) for name, found in taken.items()}
    memory = {name: max(each["peak_bytes"] for each in found) / _MIB for name, found in taken.items()}
    values_mib = given.windows * given.features * 8 / _MIB
    size = f"{given.windows:,} windows of {given.features} features, a file of {size_bytes / 1e6:,.0f} MB"
    for name, peer in PEERS.items():
        yield figure(
            f"{name}; {size}", rate[name], "windows/s", peer=peer, peer_value=rate[peer], command=COMMAND
        )
        yield figure(
            f"{name}, memory", memory[name], "MiB", peer=peer, peer_value=memory[peer], command=COMMAND
        )
    for name in (PYARROW, PANDAS, POLARS):
        yield figure(
            f"{name}, memory",
            memory[name],
            "MiB",
            peer="the values alone",
            peer_value=values_mib,
            command=COMMAND,
        )


def write_features(dataset: Path, windows: int, features: int) -> int:
    """Writes so many windows in place of the dataset's own; how many bytes they are."""
    names = [f"feature/{number:04d}" for number in range(features)]
    keys = list(FeatureRows(dataset, None).schema())[: len(KEYS) + 1]
    schema = pa.schema([*keys, *(pa.field(name, pa.float64(), nullable=False) for name in names)])
    chance = np.random.default_rng(7)
    with feature_writer(dataset / FEATURES, schema) as writer:
        for first in range(0, windows, _BLOCK):
            rows = min(_BLOCK, windows - first)
            block = _block(chance, schema, names, first, rows)
            writer.write_table(block, row_group_size=rows)
    return (dataset / FEATURES).stat().st_size


def _loaded(name: str, dataset: Path) -> Mapping[str, float]:
    outcome = measure(own_python(), "benchmarks.feature_loading", name, str(dataset), timeout_s=_TIMEOUT_S)
    if outcome.result is None:
        msg = f"{name} gave no result: {outcome.reason}"
        raise RuntimeError(msg)
    return outcome.result


def _block(
    chance: np.random.Generator, schema: pa.Schema, names: list[str], first: int, rows: int
) -> pa.Table:
    number = np.arange(first, first + rows)
    start_us = 1_700_000_000_000_000 + number // _SERVICES * _WINDOW_US
    keys = {
        "run_id": pa.repeat("run-1", rows),
        "service": pa.array([f"service-{each:02d}" for each in (number % _SERVICES).tolist()]),
        "service_kind": pa.repeat("service", rows),
        "start": pa.array(start_us),
        "end": pa.array(start_us + _WINDOW_US),
        "truth": pa.array(np.where(number % 50 == 0, "anomalous", "normal")),
        "split": pa.repeat("train", rows),
    }
    columns = []
    for field in schema:
        if field.name in names:
            values = chance.lognormal(3, 1, rows)
            values[chance.random(rows) < _ABSENT] = np.nan
            columns.append(pa.array(values))
        else:
            columns.append(keys.get(field.name, pa.nulls(rows)).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--windows", type=int, default=1_000_000, help="how many windows")
    parser.add_argument("--features", type=int, default=64, help="how many features each of them has")
    return run(parser, figures, name="features", title="Loading a million windows")


if __name__ == "__main__":
    sys.exit(main())
