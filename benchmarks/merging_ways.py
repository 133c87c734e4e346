"""Merging or previewing, by ours or by DuckDB, in a process of its own: ACT WHO FOLDER."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from benchmarks.processes import peak_mb

OURS, DUCKDB = "ours", "DuckDB"
_PREVIEWED = 5


def _merge(folder: Path) -> None:
    from microservo.datasets.collecting import write_features_of_all  # noqa: PLC0415  # loading is measured

    write_features_of_all(folder, _runs(folder))


def _merge_by_duckdb(folder: Path) -> None:
    import duckdb  # noqa: PLC0415  # as above

    files = [str(folder / name / "features.parquet") for name in _runs(folder)]
    connection = duckdb.connect()
    # As ours: in the order of the runs, and NaN where a run has no such feature.
    rows = connection.read_parquet(files, union_by_name=True)
    columns = ", ".join(
        f'coalesce("{name}", \'nan\'::double) as "{name}"' if "/" in name else f'"{name}"'
        for name in rows.columns
    )
    rows.project(columns).write_parquet(
        str(folder / "features.parquet"), compression="zstd", row_group_size=32_768
    )


def _preview(folder: Path) -> None:
    from microservo import Dataset  # noqa: PLC0415  # as above

    Dataset(folder / "run-0").windows().head(_PREVIEWED).to_pylist()


def _preview_by_duckdb(folder: Path) -> None:
    import duckdb  # noqa: PLC0415  # as above

    duckdb.read_parquet(str(folder / "run-0" / "features.parquet")).limit(_PREVIEWED).fetchall()


WAYS: Mapping[str, Mapping[str, Callable[[Path], None]]] = {
    "merge": {OURS: _merge, DUCKDB: _merge_by_duckdb},
    "preview": {OURS: _preview, DUCKDB: _preview_by_duckdb},
}


def _runs(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.is_dir())


def main() -> int:
    """Prints seconds of processor without and with loading what it needs, and how much memory that takes."""
    act, who, place = sys.argv[1:4]
    folder = Path(place)
    before_bytes = psutil.Process().memory_info().rss
    started_s = time.process_time()
    WAYS[act][who](folder)
    cpu_with_libraries_s = time.process_time() - started_s
    peak_bytes = peak_mb(os.getpid()) * 2**20
    started_s = time.process_time()
    WAYS[act][who](folder)
    cpu_s = time.process_time() - started_s
    print(
        json.dumps(
            {
                "cpu_s": cpu_s,
                "cpu_with_libraries_s": cpu_with_libraries_s,
                "peak_bytes": peak_bytes - before_bytes,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
