"""TSB-AD-M: a multivariate series per service, whose name says where training ends and anomalies begin.

::

    TSB-AD-M/<index>_MicroServo_id_<n>_WebService_tr_<rows>_1st_<row>.csv   features, then Label (0 or 1)
    File_List/TSB-AD-M.csv                                                  the names of the files above
    series.csv                                                              what each file is of

A row is a window; the first `tr` rows come before any fault. TSB-AD drops rows in which anything is missing
and can't leave one unjudged, so masked windows are left out and undefined values filled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from microservo.datasets.arrays import array_of, column_array
from microservo.datasets.formats.columns import Float64
from microservo.datasets.formats.csv_files import CsvFile
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.window_series import (
    Rows,
    ServiceWindows,
    filled,
    service_windows,
    window_rows,
)
from microservo.errors import InvalidInput

LABEL = "Label"
_FOLDER = "TSB-AD-M"
_INDEX = pa.schema(
    [
        *(("file", pa.string()), ("service", pa.string()), ("windows", pa.int64())),
        *(("anomalous_windows", pa.int64()), ("masked_windows_left_out", pa.int64())),
        *(("first_start_us", pa.int64()), ("last_end_us", pa.int64())),
    ]
)


class TsbAdM:
    """TSB-AD-M."""

    name: ClassVar[str] = "tsb-ad-m"
    losses: ClassVar[Sequence[str]] = (
        "Time: a row is a window, and masked windows are left out, so that rows that follow one another may"
        " lie apart; series.csv has the beginning and the end.",
        "Masked windows: a label is 0 or 1, and what nobody can judge is neither.",
        "Undefined features, as the latency of no request: they have the last value before, 0 where there is"
        " none, for TSB-AD drops every row in which one is missing.",
        "Which fault made a window anomalous, of what kind, with what role of the service.",
        "First revisions of windows, points, lines, spans, scores, who called whom, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """A file for each service with an anomalous window."""
        found = service_windows(source)
        judged = {name: each for name, each in found.items() if each.is_anomalous.any()}
        for name in sorted(found.keys() - judged.keys()):
            out.lost(f"Service {name}: it has no anomalous window, and TSB-AD scores none such.")
        if not judged:
            run_id = source.manifest.run.run_id
            msg = (
                f"run {run_id} holds no anomalous window, and TSB-AD scores no series without; choose another"
            )
            raise InvalidInput(msg)
        files = _files(judged, source.manifest.run.fault_free_until_us)
        _write_series(source, out, judged, files)
        out.csv(f"File_List/{_FOLDER}.csv", pa.table({"file_name": array_of([*files.values()], pa.string())}))
        index = [_index_row(files[name], name, each) for name, each in judged.items()]
        out.csv("series.csv", pa.Table.from_pylist(index, schema=_INDEX))


FORMAT = TsbAdM()


def _files(judged: Mapping[str, ServiceWindows], fault_free_until_us: int | None) -> dict[str, str]:
    """The name of the file of each service."""
    files = {}
    for number, (name, windows) in enumerate(judged.items(), start=1):
        first = int(np.argmax(windows.is_anomalous))
        train = first
        if fault_free_until_us is not None:
            train = min(first, int(np.searchsorted(windows.end_us, fault_free_until_us, "right")))
        files[name] = f"{number:03}_MicroServo_id_{number}_WebService_tr_{train}_1st_{first}.csv"
    return files


def _write_series(
    source: Source, out: Export, judged: Mapping[str, ServiceWindows], files: Mapping[str, str]
) -> None:
    total, done = sum(len(each.start_us) for each in judged.values()), 0
    before = {name: np.zeros(len(each.features)) for name, each in judged.items()}
    with ExitStack() as stack:
        open_files = {
            name: stack.enter_context(CsvFile(out.path(f"{_FOLDER}/{files[name]}"), _schema(each)))
            for name, each in judged.items()
        }
        for name, rows in window_rows(source, {name: each.features for name, each in judged.items()}):
            values = filled(rows.values, before[name])
            before[name] = values[-1] if len(values) else before[name]
            open_files[name].append(_table(judged[name], values, rows))
            done += len(rows.start_us)
            out.progress(done, total)


def _schema(windows: ServiceWindows) -> pa.Schema:
    return pa.schema([*((name, pa.float64()) for name in windows.features), (LABEL, pa.int64())])


def _table(windows: ServiceWindows, values: Float64, rows: Rows) -> pa.Table:
    columns = [column_array(np.ascontiguousarray(values[:, place])) for place in range(values.shape[1])]
    labels = column_array(rows.is_anomalous.astype(np.int64))
    return pa.Table.from_arrays([*columns, labels], schema=_schema(windows))


def _index_row(file: str, name: str, windows: ServiceWindows) -> dict[str, Any]:
    return {
        "file": file,
        "service": name,
        "windows": len(windows.start_us),
        "anomalous_windows": int(windows.is_anomalous.sum()),
        "masked_windows_left_out": windows.masked,
        "first_start_us": int(windows.start_us[0]),
        "last_end_us": int(windows.end_us[-1]),
    }
