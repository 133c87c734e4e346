"""The data behind the report's timeline, as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.files import read_columns
from microservo.datasets.series import SHOWN, Series, ServiceSeries, Shown, Span, read_series
from microservo.domain.text import printable

TRUTHS = ("anomalous", "masked", "normal")
_DIGITS = 4


class _Shown(NamedTuple):
    """What is drawn of faults at one service, each in order of time; instants in seconds."""

    bands: list[dict[str, Any]]
    effects: list[dict[str, Any]]


def timeline(folder: Path) -> dict[str, Any]:
    """What the timeline draws: per service windows, metrics, scores and faults; in seconds.

    A band is when a fault was in force, at its root and at the services that it was found to affect; an
    effect is an interval that was measured there. `truths` are stretches of windows of one truth.
    """
    span, found = read_series(folder)
    faults = _faults(folder, span)
    return {
        "metrics": [{"key": shown.key, "label": shown.label} for shown in SHOWN],
        "from": span.from_us / 1e6,
        "to": span.to_us / 1e6,
        "services": [
            _service(name, series, faults.get(name, _Shown([], []))) for name, series in sorted(found.items())
        ],
    }


def rows_in_us(folder: Path, table: str, *columns: str) -> Iterator[dict[str, Any]]:
    """Rows of a table, all columns where none is named, with their instants in microseconds."""
    rows = read_columns(folder / table, *columns)
    kinds = [pa.int64() if pa.types.is_timestamp(field.type) else field.type for field in rows.schema]
    named = rows.cast(pa.schema(zip(rows.schema.names, kinds, strict=True)))
    yield from named.to_pylist()


def _service(name: str, series: ServiceSeries, faults: _Shown) -> dict[str, Any]:
    """Points stand in the middles of windows: at their starts, an effect would show before its fault."""
    middles = series.middles.points("mean")
    there = ~np.isnan(middles)
    metrics = {shown.key: _column(_chosen(series, shown), shown, there) for shown in SHOWN}
    scores = {
        printable(algorithm): _column(found, SHOWN[0], there)
        for algorithm, found in sorted(series.scores.items())
    }
    return {
        "name": printable(name),
        "note": _note(series, faults.bands),
        "x": (middles[there] / 1e6).tolist(),
        "metrics": metrics,
        "scores": scores,
        "bands": faults.bands,
        "effects": faults.effects,
        "truths": [
            {"from": each.from_us / 1e6, "to": each.to_us / 1e6, "truth": each.truth}
            for each in series.truths
        ],
    }


def _chosen(series: ServiceSeries, shown: Shown) -> Series:
    found = (series.features[name] for name in shown.features if name in series.features)
    return next(found, Series(series.span))


def _column(series: Series, shown: Shown, there: NDArray[np.bool_]) -> list[float | None]:
    """The points where there are windows, None where there is no value."""
    points = series.points(shown.thinned_by)[there] * shown.factor
    return [None if np.isnan(v) else float(f"{v:.{_DIGITS}g}") for v in points]


def _note(series: ServiceSeries, bands: Sequence[Mapping[str, Any]]) -> str:
    roots = sum(band["role"] == "root_cause" for band in bands)
    affected = len(bands) - roots
    parts = [f"root cause of {roots}"] * bool(roots) + [f"affected by {affected}"] * bool(affected)
    window_s: dict[str, float] = {}
    for each in series.truths:
        window_s[each.truth] = window_s.get(each.truth, 0) + (each.to_us - each.from_us) / 1e6
    parts += [f"{truth} {window_s[truth]:,.0f} s" for truth in TRUTHS if truth in window_s]
    return ", ".join(parts)


def _faults(folder: Path, span: Span) -> dict[str, _Shown]:
    """What is drawn of faults, by service."""
    in_force = _in_force(folder)
    found: dict[str, _Shown] = {}
    kinds: dict[str, str] = {}
    for row in rows_in_us(folder, "effects.parquet", "fault_id", "fault_kind", "service", "role"):
        kinds[row["fault_id"]] = printable(row["fault_kind"] or "")
        if row["role"] == "exposed" or row["fault_id"] not in in_force:
            continue
        applied_us, recovered_us = in_force[row["fault_id"]]
        band = _drawn(
            row["fault_id"], kinds, applied_us, span.to_us if recovered_us is None else recovered_us
        )
        found.setdefault(row["service"], _Shown([], [])).bands.append(band | {"role": row["role"]})
    columns = ("fault_id", "service", "first_deviating_at", "last_deviating_at")
    for row in rows_in_us(folder, "effect_intervals.parquet", *columns):
        effect = _drawn(row["fault_id"], kinds, row["first_deviating_at"], row["last_deviating_at"])
        found.setdefault(row["service"], _Shown([], [])).effects.append(effect)
    for shown in found.values():
        # What was injected here is drawn last, over what came from elsewhere.
        shown.bands.sort(key=lambda band: (band["role"] == "root_cause", band["from"]))
    return found


def _drawn(fault_id: str, kinds: Mapping[str, str], from_us: int, to_us: int) -> dict[str, Any]:
    return {
        "id": printable(fault_id),
        "kind": kinds.get(fault_id, ""),
        "from": from_us / 1e6,
        "to": to_us / 1e6,
    }


def _in_force(folder: Path) -> dict[str, tuple[int, int | None]]:
    """From the first confirmed start to the last confirmed end over a fault's instances; None while open."""
    found: dict[str, tuple[int, int | None]] = {}
    for row in rows_in_us(folder, "faults.parquet", "fault_id", "applied_at", "recovered_at"):
        start, end = row["applied_at"], row["recovered_at"]
        if start is None:
            continue
        first, last = found.get(row["fault_id"], (start, end))
        found[row["fault_id"]] = (min(first, start), None if last is None or end is None else max(last, end))
    return found
