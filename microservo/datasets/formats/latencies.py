"""Latencies and failures of spans, by whom and minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import values_of
from microservo.datasets.formats.columns import Float64, coded, numbers_of, quantiles, sums
from microservo.datasets.formats.stretches import SECOND_US
from microservo.datasets.formats.telemetry_series import Grid

SHARES = {"P50": 0.50, "P90": 0.90, "P95": 0.95, "P99": 0.99}


@dataclass(frozen=True, slots=True, eq=False)
class Latencies:
    """Durations of the spans of a kind, in seconds; arrays have shape (minutes, owners)."""

    owners: list[str]
    counts: Float64
    failures: Float64
    by_share: Mapping[str, Float64]

    @classmethod
    def of(cls, spans: pa.Table, grid: Grid, kind: str, owner: str) -> Latencies:
        of_kind = pc.fill_null(pc.equal(spans.column("kind").cast(pa.string()), kind), False)
        kept = spans.filter(of_kind)
        owners = coded(kept.column(owner))
        place, inside = grid.bins(values_of(kept.column("time")))
        row, column, shape = place[inside], owners.codes[inside], (len(grid.starts_s), len(owners.texts))
        duration_s = numbers_of(kept, "duration_us")[inside] / SECOND_US
        failed = numbers_of(kept, "error")[inside].astype(np.float64)
        return cls(
            owners.texts,
            sums(row, column, shape),
            sums(row, column, shape, failed),
            {name: quantiles(row, column, shape, duration_s, share) for name, share in SHARES.items()},
        )

    def quantile(self, owner: str, name: str) -> Float64:
        return self._column(self.by_share[name], owner, np.nan)

    def count(self, owner: str) -> Float64:
        return self._column(self.counts, owner, 0.0)

    def success(self, owner: str) -> Float64:
        """In percent; NaN where there is nothing that could have failed."""
        with np.errstate(invalid="ignore", divide="ignore"):
            shares: Float64 = (1 - self._column(self.failures, owner, 0.0) / self.count(owner)) * 100
        return shares

    def _column(self, values: Float64, owner: str, default: float) -> Float64:
        if owner not in self.owners:
            return np.full(len(values), default)
        found: Float64 = values[:, self.owners.index(owner)]
        return found
