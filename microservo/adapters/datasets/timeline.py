"""The data behind the report's timeline, as JSON that is safe inside a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from microservo.adapters.datasets.series import (
    SHOWN,
    Points,
    ServiceSeries,
    Shown,
    points_per_series,
    read_series,
    thinned,
)

_DIGITS = 4


def timeline(folder: Path) -> dict[str, Any]:
    """What the timeline draws: per service windows, metrics, scores and bands of faults; in seconds."""
    found = read_series(folder)
    in_force = _in_force(folder)
    algorithms = {name for series in found.values() for name in series.scores}
    points = points_per_series(len(found), len(SHOWN) + len(algorithms))
    services = [_service(name, series, in_force, points) for name, series in sorted(found.items())]
    starts = [start for series in found.values() for start in series.ends]
    ends = [end for series in found.values() for end in series.ends.values()]
    return {
        "metrics": [{"key": shown.key, "label": shown.label} for shown in SHOWN],
        "from": min(starts, default=0) / 1e6,
        "to": max(ends, default=1) / 1e6,
        "services": services,
    }


def as_script(value: object) -> str:
    """JSON that can stand in a script element: no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _service(
    name: str, series: ServiceSeries, in_force: Mapping[str, tuple[int, int | None]], points: int
) -> dict[str, Any]:
    xs: Sequence[float | None] = []
    metrics = {}
    for shown in SHOWN:
        xs, metrics[shown.key] = _column(series.ends, _chosen(series, shown), points, shown)
    scores = {
        algorithm: _column(series.ends, found, points, SHOWN[0])[1]
        for algorithm, found in sorted(series.scores.items())
    }
    bands = [_band(label, in_force) for label in series.labels.values()]
    bands.sort(key=lambda band: (band["role"] == "root_cause", band["from"]))
    return {"name": name, "note": _note(bands), "x": xs, "metrics": metrics, "scores": scores, "bands": bands}


def _chosen(series: ServiceSeries, shown: Shown) -> Points:
    return next((series.features[name] for name in shown.features if name in series.features), {})


def _column(
    ends: Mapping[int, int], found: Points, points: int, shown: Shown
) -> tuple[list[float | None], list[float | None]]:
    """Thinned instants in seconds, and values with None where there is none.

    A value stands in the middle of its window: at its start, an effect would show before its fault.
    """
    windows = sorted(ends.items())
    values = np.array([found.get(start, np.nan) for start, _ in windows]) * shown.factor
    values[~np.isfinite(values)] = np.nan
    middles = np.array([(start + end) / 2e6 for start, end in windows])
    seconds, kept = thinned(middles, values, points, shown.thinned_by)
    return seconds.tolist(), [None if np.isnan(v) else float(f"{v:.{_DIGITS}g}") for v in kept]


def _band(label: Mapping[str, Any], in_force: Mapping[str, tuple[int, int | None]]) -> dict[str, Any]:
    """A fault as it concerns a service: the confirmed times where known, else those of the windows."""
    applied, recovered = in_force.get(label["fault_id"], (label["from"], label["to"]))
    return {
        "id": label["fault_id"],
        "kind": label["kind"],
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
