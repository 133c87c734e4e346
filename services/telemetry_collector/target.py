"""The instances of the target, from the state file that its launcher keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from microservo.errors import InvalidInput
from microservo.platforms.local.meter import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInstance:
    """One instance; `process` is None while it is down."""

    id: str
    service: str
    process: Wanted | None


def read_target(path: Path) -> list[TargetInstance]:
    """The instances of the target, running or not; [] while there is no target.

    Raises:
        InvalidInput: the file is there but can't be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [
            TargetInstance(
                id=entry["id"],
                service=entry["service"],
                process=_process(entry["pid"], entry["started_at_us"]),
            )
            for entry in document["instances"]
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"state file {path} can't be read ({error!r}); its launcher writes it anew at every change"
        raise InvalidInput(msg) from error


def _process(pid: int | None, started_at_us: int | None) -> Wanted | None:
    return None if pid is None else Wanted(pid=int(pid), started_at_us=int(started_at_us or 0))
