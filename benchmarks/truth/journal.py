"""What was measured so far, a line of JSON each: a benchmark that was interrupted goes on behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Journal:
    """The lines of one part of the benchmark.

    Args:
        path: of the file, which is made when needed.
        conditions: what all lines measured here have in common; lines of other conditions are passed over.
    """

    def __init__(self, path: Path, conditions: Mapping[str, object]) -> None:
        self._path = path
        self._conditions = dict(conditions)
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, measured: Any, **more: object) -> None:
        """Writes a dataclass as the next line, and when it was measured."""
        with self._path.open("a", encoding="utf-8") as file:
            known = {**self._conditions, "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}"}
            file.write(json.dumps({**known, **more, **asdict(measured)}) + "\n")

    def lines(self) -> Iterator[dict[str, Any]]:
        """Everything that was measured under these conditions; a line that was cut off is none."""
        if not self._path.exists():
            return
        for text in self._path.read_text("utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if all(line.get(name) == value for name, value in self._conditions.items()):
                yield line
