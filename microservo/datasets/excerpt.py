"""A stretch of time of a dataset as a dataset of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.files import TableFile
from microservo.datasets.formats.columns import coded
from microservo.datasets.formats.fault_cases import FaultCases
from microservo.datasets.formats.reading import Tables
from microservo.datasets.rebuilding import described
from microservo.datasets.tables import TABLES
from microservo.datasets.verifying import read_manifest
from microservo.domain.datasets.manifest import Manifest, tables_hash
from microservo.errors import InvalidInput

Mask = NDArray[np.bool_]
_MINUTE_US = 60_000_000
_BY_FAULT = ("faults", "fault_events", "effects", "effect_intervals")
_BY_START = ("windows", "window_revisions", "labels", "scores", "graph")
_BY_TIME = ("metrics", "logs", "traces")


def excerpt(whole: Path, folder: Path, from_us: int, until_us: int) -> Manifest:
    """Writes the windows between two instants, and what belongs to them, into a folder.

    Windows, scores and telemetry are those of whole windows within; faults, those that were in force, visible
    or asked for within, with all of their times; the ledger, whole minutes that overlap it.

    Args:
        whole: a dataset.
        folder: a new one, made by the caller.
        from_us: no window begins before, microseconds UTC.
        until_us: no window ends after.

    Raises:
        InvalidInput: no window lies between them.
    """
    manifest, tables = read_manifest(whole), Tables(whole)
    size_us = manifest.policy["size_us"]
    cases = FaultCases.of(tables)
    first_us = max(-(-from_us // size_us) * size_us, cases.from_us)
    end_us = min(until_us // size_us * size_us, cases.until_us)
    kept = _Kept(first_us, end_us, _faults(tables, cases, first_us, end_us))
    entries = []
    for file, schema in TABLES.items():
        keep = kept.rows(file.removesuffix(".parquet"))
        with TableFile(folder / file, schema) as table:
            for block in tables.blocks(file, *schema.names):
                rows = block.filter(column_array(keep(block), pa.bool_()))
                if rows.num_rows:
                    table.append(rows.cast(schema))
            entries.append(table.close())
    files = tuple(sorted(entries, key=lambda entry: entry.name))
    part = replace(
        manifest,
        files=files,
        content_hash=tables_hash(files),
        range_us=(first_us, end_us),
        test_from_us=None,
    )
    windows = part.file("windows.parquet")
    if windows is None or not windows.rows:
        msg = f"run {manifest.run.run_id} has no whole window between {from_us} and {until_us} (microseconds)"
        raise InvalidInput(msg)
    return described(folder, part, ())


class _Kept:
    """Which rows of each table are kept."""

    def __init__(self, first_us: int, end_us: int, faults: frozenset[str]) -> None:
        self._first_us = first_us
        self._end_us = end_us
        self._faults = faults

    def rows(self, name: str) -> Callable[[pa.Table], Mask]:
        """What says of some rows of a table which are kept."""
        if name in _BY_FAULT:
            return self._of_faults
        if name in _BY_START:
            return lambda rows: self._within(rows, "start")
        if name in _BY_TIME:
            return lambda rows: self._within(rows, "time")
        rest = {"actions": self._actions, "instances": self._instances, "ledger": self._minutes}
        return rest[name]

    def _within(self, rows: pa.Table, column: str, *, first_us: int | None = None) -> Mask:
        at = values_of(rows.column(column))
        found: Mask = (at >= (self._first_us if first_us is None else first_us)) & (at < self._end_us)
        return found

    def _of_faults(self, rows: pa.Table) -> Mask:
        fault = coded(rows.column("fault_id"))
        return np.array([each in self._faults for each in fault.texts], np.bool_)[fault.codes]

    def _actions(self, rows: pa.Table) -> Mask:
        spans = zip(*(rows.column(name).to_pylist() for name in ("decided_at", "ended_at")), strict=True)
        return np.array(
            [begin < self._end_us and (end is None or end >= self._first_us) for begin, end in spans],
            np.bool_,
        )

    def _instances(self, rows: pa.Table) -> Mask:
        # Whoever said what it is before the stretch still is that within.
        return self._within(rows, "seen", first_us=0)

    def _minutes(self, rows: pa.Table) -> Mask:
        return self._within(rows, "minute", first_us=self._first_us // _MINUTE_US * _MINUTE_US)


def _faults(tables: Tables, cases: FaultCases, first_us: int, end_us: int) -> frozenset[str]:
    found = {case.fault_id for case in cases.cases if case.disturbed.overlap(first_us, end_us)}
    for name, at in (("faults", "requested_at"), ("labels", "start")):
        rows = tables.table(f"{name}.parquet", "fault_id", at)
        times = values_of(rows.column(at))
        inside = rows.filter(column_array((times >= first_us) & (times < end_us), pa.bool_()))
        found |= set(inside.column("fault_id").to_pylist())
    return frozenset(found)
