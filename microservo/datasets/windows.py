"""Labelled windows on their way into tables: held until they are final, released in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from microservo.datasets.arrays import array_of
from microservo.datasets.slices import Tables
from microservo.datasets.tables import LABELS, WINDOW_REVISIONS, WINDOWS
from microservo.domain.closed_window import ClosedWindow
from microservo.domain.features import Features, same_features
from microservo.domain.truth import strongest
from schemas.codec import encode
from schemas.records import Label

WINDOW_TABLES = {
    "windows.parquet": WINDOWS,
    "window_revisions.parquet": WINDOW_REVISIONS,
    "labels.parquet": LABELS,
}
"""Tables that windows are in; by start, service and revision."""


class _Revision(NamedTuple):
    """One revision of a window.

    Attributes:
        is_final: whether it is the last one.
        features: its own; None where the final ones are the same and already stand there.
    """

    window: ClosedWindow
    sha256: str
    is_final: bool
    features: Features | None


class WindowBuffer:
    """The revisions of windows that are not released yet."""

    def __init__(self) -> None:
        self._revisions: dict[tuple[int, str], list[ClosedWindow]] = {}

    def __len__(self) -> int:
        """How many windows are held."""
        return len(self._revisions)

    def add(self, window: ClosedWindow) -> None:
        """Adds one revision; those of a window come in order."""
        self._revisions.setdefault((window.start_us, window.service), []).append(window)

    def discard(self, service: str, start_us: int) -> None:
        """Leaves out a window that never became final."""
        self._revisions.pop((start_us, service), None)

    def release(self, before_us: int) -> Tables:
        """Removes the windows that start before `before_us`, all final, and returns their tables."""
        keys = sorted(key for key in self._revisions if key[0] < before_us)
        return window_tables([self._revisions.pop(key) for key in keys])


def window_tables(windows: Iterable[Sequence[ClosedWindow]]) -> Tables:
    """The rows of whole windows, each given by its revisions in order."""
    revisions = [each for window in windows for each in _revisions(window)]
    final = [each._replace(features=each.window.features) for each in revisions if each.is_final]
    return {
        "windows.parquet": _table(WINDOWS, _window_columns(final)),
        "window_revisions.parquet": _table(WINDOW_REVISIONS, _window_columns(revisions)),
        "labels.parquet": _table(LABELS, _label_columns(revisions)),
    }


def value_hash(value: bytes) -> str:
    """SHA-256 of a message's value, as windows are compared by."""
    return hashlib.sha256(value).hexdigest()


def _revisions(windows: Sequence[ClosedWindow]) -> Iterable[_Revision]:
    last = windows[-1]
    for window in windows:
        is_same = window is last or same_features(window.features, last.features)
        sha256 = value_hash(encode(window.labelled_window()))
        yield _Revision(window, sha256, window is last, None if is_same else window.features)


def _window_columns(revisions: Sequence[_Revision]) -> dict[str, Any]:
    windows = [each.window for each in revisions]
    truths = [window.truth for window in windows]
    label_columns = _columns_of_labels(
        [strongest(truth.labels) if truth.labels else None for truth in truths]
    )
    silent = [window.features.get("telemetry/silent") for window in windows]
    return {
        **_place_columns(revisions, windows),
        "service_kind": [window.service_kind for window in windows],
        "truth": [truth.truth for truth in truths],
        "role": [truth.role for truth in truths],
        "in_force": [truth.in_force for truth in truths],
        "visible": [truth.visible for truth in truths],
        "faults": [len(truth.labels) for truth in truths],
        **label_columns,
        "silent": [None if value is None else value > 0 for value in silent],
        "delay_us": [window.delay_us for window in windows],
        "actions": [tuple(each.decision_id for each in window.actions) for window in windows],
        **_feature_columns([each.features for each in revisions]),
        "sha256": [each.sha256 for each in revisions],
    }


def _label_columns(revisions: Sequence[_Revision]) -> dict[str, Any]:
    found = [(each, label) for each in revisions for label in each.window.truth.labels]
    labels = [label for _, label in found]
    return {
        **_place_columns([each for each, _ in found], [each.window for each, _ in found]),
        **_columns_of_labels(labels),
        "role": [label.role for label in labels],
        "visible": [None if label.finding == "undecided" else label.visible for label in labels],
        "instances": [label.instances for label in labels],
        "shared_with": [label.shared_with for label in labels],
    }


def _place_columns(revisions: Sequence[_Revision], windows: Sequence[ClosedWindow]) -> dict[str, Any]:
    return {
        "run_id": [window.run_id for window in windows],
        "service": [window.service for window in windows],
        "start": [window.start_us for window in windows],
        "end": [window.end_us for window in windows],
        "revision": [window.revision for window in windows],
        "final": [each.is_final for each in revisions],
    }


def _columns_of_labels(labels: Sequence[Label | None]) -> dict[str, Any]:
    """What windows and labels say of a fault alike; None where there is no label."""
    fields = {"fault_kind": "kind"}
    names = (
        *("fault_id", "fault_kind", "root_service", "relation", "hops"),
        *("phase", "overlap", "severity", "finding"),
    )
    return {name: [getattr(label, fields.get(name, name), None) for label in labels] for name in names}


def _feature_columns(features: Sequence[Features | None]) -> dict[str, Any]:
    """Names and values as two lists of equal length; None where there are none of its own."""
    return {
        "feature_names": [None if each is None else tuple(each) for each in features],
        "feature_values": [None if each is None else tuple(each.values()) for each in features],
    }


def _table(schema: pa.Schema, columns: Mapping[str, Any]) -> pa.Table:
    arrays = [array_of(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)
