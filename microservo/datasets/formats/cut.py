"""Where a run is cut in two, so that no fault is on both sides: one to learn from, one for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.arrays import values_of
from microservo.datasets.formats.columns import coded
from microservo.datasets.formats.fault_cases import FaultCases
from microservo.datasets.formats.reading import Tables

TRAIN, TEST = "train", "test"
_TRAIN_SHARE = 0.7
"""Share of the faults that shall be learned from."""
_BY_TIME = {
    **dict.fromkeys(("windows", "window_revisions", "labels", "scores", "graph"), "start"),
    **dict.fromkeys(("metrics", "logs", "traces"), "time"),
    "actions": "decided_at",
    "ledger": "minute",
    "instances": "seen",
}
_BY_FAULT = ("faults", "fault_events", "effects", "effect_intervals")


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a run is cut in two.

    Attributes:
        at_us: what begins there or later is for the test; microseconds UTC.
        test_faults: ids of the faults that are.
    """

    at_us: int
    test_faults: frozenset[str]

    def touched_across(self, tables: Tables) -> frozenset[tuple[int, str]]:
        """Windows, by start and service, with a label of a fault of the other side, as its after-effect."""
        labels = tables.table("labels.parquet", "start", "service", "fault_id", "final")
        columns = (labels.column(name).to_pylist() for name in labels.column_names)
        return frozenset(
            (start_us, service)
            for start_us, service, fault_id, final in zip(*columns, strict=True)
            if final and (start_us >= self.at_us) != (fault_id in self.test_faults)
        )

    def is_test(self, name: str, rows: pa.Table) -> NDArray[np.bool_]:
        """Which rows of a table are for the test."""
        if name in _BY_FAULT:
            fault = coded(rows.column("fault_id"))
            return np.array([each in self.test_faults for each in fault.texts], np.bool_)[fault.codes]
        found: NDArray[np.bool_] = values_of(rows.column(_BY_TIME[name])) >= self.at_us
        return found


def cut_between_faults(tables: Tables, size_us: int) -> Cut | None:
    """The window before the fault that comes behind most of them; None where nothing parts them in two.

    Args:
        tables: those of a run.
        size_us: length of its windows, in microseconds.
    """
    cases = FaultCases.of(tables).harmful
    wanted = ceil(_TRAIN_SHARE * len(cases))
    places: list[tuple[int, int]] = []
    for place in range(1, len(cases)):
        ended_us = max(case.ended_us for case in cases[:place])
        begins_us = min(int(case.disturbed.from_us[0]) for case in cases[place:])
        at_us = begins_us // size_us * size_us
        if ended_us <= at_us:
            places.append((abs(place - wanted), at_us))
    if not places:
        return None
    at_us = min(places)[1]
    rows = tables.table("faults.parquet", "fault_id", "applied_at", "requested_at").to_pylist()
    return Cut(at_us, frozenset(row["fault_id"] for row in rows if _begin_us(row) >= at_us))


def _begin_us(row: Mapping[str, Any]) -> int:
    return int(row["requested_at"] if row["applied_at"] is None else row["applied_at"])
