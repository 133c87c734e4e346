"""Labelled windows on their way into a table: held until they are final, released in order."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from microservo.datasets.tables import WINDOWS
from microservo.domain.windows import ClosedWindow
from schemas.codec import encode


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

    def release(self, before_us: int) -> pa.Table:
        """Removes the windows that start before `before_us`, all final, and returns their revisions."""
        keys = sorted(key for key in self._revisions if key[0] < before_us)
        return windows_table(self._revisions.pop(key) for key in keys)


def windows_table(windows: Iterable[list[ClosedWindow]]) -> pa.Table:
    """Rows of whole windows: all revisions of one, then of the next."""
    rows = [(each, each is revisions[-1]) for revisions in windows for each in revisions]
    facts = [_facts(window, final=final) for window, final in rows]
    arrays = {
        field.name: pa.array([row[field.name] for row in facts], field.type)
        for field in WINDOWS
        if field.name != "features"
    }
    arrays["features"] = _features([window for window, _ in rows]).cast(WINDOWS.field("features").type)
    return pa.Table.from_arrays([arrays[name] for name in WINDOWS.names], schema=WINDOWS)


def _features(windows: list[ClosedWindow]) -> pa.Array:
    """The column of features; put together by hand, several times as fast as from pairs."""
    offsets = list(itertools.accumulate((len(window.features) for window in windows), initial=0))
    names = [name for window in windows for name in window.features]
    values = [value for window in windows for value in window.features.values()]
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(names, pa.string()), pa.array(values, pa.float64())
    )


def value_hash(value: bytes) -> str:
    """SHA-256 of a message's value, as windows are compared by."""
    return hashlib.sha256(value).hexdigest()


def _facts(window: ClosedWindow, *, final: bool) -> dict[str, Any]:
    return {
        "run_id": window.run_id,
        "service": window.service,
        "start": window.start_us,
        "end": window.end_us,
        "revision": window.revision,
        "final": final,
        "truth": window.truth.truth,
        "role": window.truth.role,
        "in_force": window.truth.in_force,
        "visible": window.truth.visible,
        "labels": [asdict(label) for label in window.truth.labels],
        "sha256": value_hash(encode(window.labelled_window())),
    }
