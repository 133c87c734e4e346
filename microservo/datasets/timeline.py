"""The data behind the report's timeline, as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from microservo.datasets.series import SHOWN, Series, ServiceSeries, Shown, read_series
from microservo.domain.text import printable

_DIGITS = 4


def timeline(folder: Path) -> dict[str, Any]:
    """What the timeline draws: per service windows, metrics, scores and bands of faults; in seconds."""
    span, found = read_series(folder)
    in_force = _in_force(folder)
    return {
        "metrics": [{"key": shown.key, "label": shown.label} for shown in SHOWN],
        "from": span.from_us / 1e6,
        "to": span.to_us / 1e6,
        "services": [_service(name, series, in_force) for name, series in sorted(found.items())],
    }


def _service(
    name: str, series: ServiceSeries, in_force: Mapping[str, tuple[int, int | None]]
) -> dict[str, Any]:
    """Instants are middles of windows: at their starts, an effect would show before its fault."""
    middles = series.middles.points("mean")
    there = ~np.isnan(middles)
    metrics = {shown.key: _column(_chosen(series, shown), shown, there) for shown in SHOWN}
    scores = {
        printable(algorithm): _column(found, SHOWN[0], there)
        for algorithm, found in sorted(series.scores.items())
    }
    bands = [_band(label, in_force) for label in series.labels.values()]
    bands.sort(key=lambda band: (band["role"] == "root_cause", band["from"]))
    xs = (middles[there] / 1e6).tolist()
    return {
        "name": printable(name),
        "note": _note(bands),
        "x": xs,
        "metrics": metrics,
        "scores": scores,
        "bands": bands,
    }


def _chosen(series: ServiceSeries, shown: Shown) -> Series:
    found = (series.features[name] for name in shown.features if name in series.features)
    return next(found, Series(series.span))


def _column(series: Series, shown: Shown, there: NDArray[np.bool_]) -> list[float | None]:
    """The points where there are windows, None where there is no value."""
    points = series.points(shown.thinned_by)[there] * shown.factor
    return [None if np.isnan(v) else float(f"{v:.{_DIGITS}g}") for v in points]


def _band(label: Mapping[str, Any], in_force: Mapping[str, tuple[int, int | None]]) -> dict[str, Any]:
    """A fault as it concerns a service: the confirmed times where known, else those of the windows."""
    applied, recovered = in_force.get(label["fault_id"], (label["from"], label["to"]))
    return {
        "id": printable(label["fault_id"]),
        "kind": printable(label["kind"]),
        "role": label["role"],
        "from": applied / 1e6,
        "to": (label["to"] if recovered is None else recovered) / 1e6,
    }


def _note(bands: Sequence[Mapping[str, Any]]) -> str:
    roots = sum(band["role"] == "root_cause" for band in bands)
    affected = len(bands) - roots
    parts = [f"root cause of {roots}"] * bool(roots) + [f"affected by {affected}"] * bool(affected)
    return ", ".join(parts)


def _in_force(folder: Path) -> dict[str, tuple[int, int | None]]:
    """From the first confirmed start to the last confirmed end over a fault's instances; None while open."""
    rows = pq.read_table(folder / "faults.parquet", columns=["fault_id", "applied_at", "recovered_at"])
    applied = rows.column("applied_at").cast(pa.int64()).to_pylist()
    recovered = rows.column("recovered_at").cast(pa.int64()).to_pylist()
    found: dict[str, tuple[int, int | None]] = {}
    for fault, start, end in zip(rows.column("fault_id").to_pylist(), applied, recovered, strict=True):
        if start is None:
            continue
        first, last = found.get(fault, (start, end))
        found[fault] = (min(first, start), None if last is None or end is None else max(last, end))
    return found
