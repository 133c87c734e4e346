"""Which names occur in a dataset, and the words of severities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from microservo.datasets.formats.columns import coded, texts_of
from microservo.datasets.formats.source import Source

_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
# OpenTelemetry severity numbers come in ranges of four: 1-4 trace, 5-8 debug, ... 21-24 fatal.
_LEVEL_OF = np.array([(number - 1) // 4 if 1 <= number <= 24 else -1 for number in range(256)], np.int64)


def distinct(source: Source, table: str, column: str) -> set[str]:
    """The texts that occur in a column."""
    found: set[str] = set()
    for block in source.blocks(table, column):
        found.update(coded(block.column(column)).texts)
    return found


def services_by_kind(source: Source) -> Mapping[str, str]:
    """All services of windows, telemetry and faults in force, and what each is: service, host, ..."""
    found: dict[str, str] = {}
    for table in ("metrics.parquet", "logs.parquet", "traces.parquet"):
        found |= dict.fromkeys(distinct(source, table, "service"), "service")
    found |= dict.fromkeys(coded(faults_in_force(source).column("service")).texts, "service")
    for block in source.blocks("windows.parquet", "service", "service_kind"):
        names, kinds = coded(block.column("service")), coded(block.column("service_kind"))
        pairs = np.unique(np.stack((names.codes, kinds.codes)), axis=1)
        found |= {names.texts[name]: kinds.texts[kind] for name, kind in pairs.T.tolist()}
    return dict(sorted(found.items()))


def faults_in_force(source: Source) -> pa.Table:
    """Service and instance of every fault that was applied: a refused one may name what is not there."""
    faults = source.table("faults.parquet", "service", "instance", "applied_at")
    return faults.filter(pc.is_valid(faults.column("applied_at")))


def log_levels(severities: NDArray[Any]) -> pa.Array:
    """The words of OpenTelemetry's severity numbers; null where one is none."""
    return texts_of(list(_LEVELS), _LEVEL_OF[severities.astype(np.intp)])
