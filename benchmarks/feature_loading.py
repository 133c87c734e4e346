"""One way of loading `features.parquet`, in a process of its own: WAY FOLDER."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from benchmarks.processes import peak_mb
from microservo import Dataset
from microservo.datasets.feature_table import FEATURES

PYARROW, PANDAS, POLARS = "pyarrow.parquet.read_table", "pandas.read_parquet", "polars.read_parquet"
_PYARROW_FEW = f"{PYARROW} of three columns"
_WINDOWS = "Dataset.windows()"
_FEW = ("service", "truth", "feature/0000")


def _pyarrow(folder: Path) -> object:
    return pq.read_table(folder / FEATURES)


def _pandas(folder: Path) -> object:
    import pandas as pd  # noqa: PLC0415  # who measures another one has no need of it

    return pd.read_parquet(folder / FEATURES)


def _polars(folder: Path) -> object:
    import polars as pl  # noqa: PLC0415  # as above

    return pl.read_parquet(folder / FEATURES)


def _batches(folder: Path) -> object:
    return sum(batch.num_rows for batch in Dataset(folder).windows().reader())


WAYS: Mapping[str, Callable[[Path], object]] = {
    PYARROW: _pyarrow,
    PANDAS: _pandas,
    POLARS: _polars,
    _PYARROW_FEW: lambda folder: pq.read_table(folder / FEATURES, columns=list(_FEW)),
    f"{_WINDOWS}.to_arrow()": lambda folder: Dataset(folder).windows().to_arrow(),
    f"{_WINDOWS}.to_pandas()": lambda folder: Dataset(folder).windows().to_pandas(),
    f"{_WINDOWS}.to_polars()": lambda folder: Dataset(folder).windows().to_polars(),
    f"{_WINDOWS}.reader(), batch by batch": _batches,
    f"{_WINDOWS} of three columns": lambda folder: Dataset(folder).windows().select(*_FEW).to_arrow(),
}
PEERS: Mapping[str, str] = {
    f"{_WINDOWS}.to_arrow()": PYARROW,
    f"{_WINDOWS}.to_pandas()": PANDAS,
    f"{_WINDOWS}.to_polars()": POLARS,
    f"{_WINDOWS}.reader(), batch by batch": PYARROW,
    f"{_WINDOWS} of three columns": _PYARROW_FEW,
}
"""By way of ours, the plain reader that gives the same."""


def main() -> int:
    """Prints the seconds that it takes, and how much memory more the process has at the most."""
    name, dataset = sys.argv[1:3]
    for library in ("pandas", "polars"):
        if library in name:
            import_module(library)  # that is not what is measured
    before_bytes = psutil.Process().memory_info().rss
    started_s = time.perf_counter()
    loaded = WAYS[name](Path(dataset))
    elapsed_s = time.perf_counter() - started_s
    peak_bytes = peak_mb(os.getpid()) * 2**20
    print(json.dumps({"elapsed_s": elapsed_s, "peak_bytes": max(0.0, peak_bytes - before_bytes)}))
    del loaded
    return 0


if __name__ == "__main__":
    sys.exit(main())
