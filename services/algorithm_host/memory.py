"""What a host keeps in its folder: how far it has come, and what its algorithm has learned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microservo.adapters.files import write_whole

_PUBLISHED = "published.json"
_MEMORY = "memory.json"
_LEARNED = "learned.bin"
KEPT_RUNS = 2
"""Besides the one that is scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """All that is needed to go on.

    Attributes:
        next_offsets: by partition, the first message that was not taken yet.
        host: what the host knows beside the algorithm, as plain values.
        algorithm: the algorithm's own bytes; only its own process may load them.
    """

    next_offsets: Mapping[int, int]
    host: Mapping[str, Any]
    algorithm: bytes


class Memory:
    """The files of one deployment in one run.

    Args:
        folder: of the deployment.
        run_id: what was learned in another run is none of this one's.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder / "memory" / run_id

    def forget_old_runs(self) -> None:
        """Removes what was learned in other runs, but for the last few: those may be resumed."""
        others = [path for path in self._folder.parent.glob("*") if path != self._folder]
        for path in sorted(others, key=_written, reverse=True)[KEPT_RUNS:]:
            shutil.rmtree(path, ignore_errors=True)

    def published(self) -> dict[int, int]:
        """By partition, the first message of which nothing was published yet."""
        return _offsets(self._document(_PUBLISHED).get("next", {}))

    def write_published(self, next_offsets: Mapping[int, int]) -> None:
        """Writes down up to where everything was published."""
        write_whole(self._folder / _PUBLISHED, json.dumps({"next": next_offsets}).encode())

    def learned(self) -> Learned | None:
        """What was learned; None where there is nothing, or it is not whole."""
        document = self._document(_MEMORY)
        try:
            learned = (self._folder / document["learned"]).read_bytes()
            return Learned(next_offsets=_offsets(document["next"]), host=document["host"], algorithm=learned)
        except (KeyError, TypeError, ValueError, OSError):
            return None

    def write_learned(self, learned: Learned) -> None:
        """Replaces what was learned, in one step."""
        former = self._document(_MEMORY).get("learned")
        # The bytes first, under another name than those in use.
        name = f"1-{_LEARNED}" if former == f"0-{_LEARNED}" else f"0-{_LEARNED}"
        write_whole(self._folder / name, learned.algorithm)
        document = {"next": dict(learned.next_offsets), "host": dict(learned.host), "learned": name}
        write_whole(self._folder / _MEMORY, json.dumps(document).encode())

    def _document(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _written(path: Path) -> float:
    """When something in a folder was last replaced; 0 where it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _offsets(document: Mapping[str, Any]) -> dict[int, int]:
    return {int(index): int(offset) for index, offset in document.items()}
