"""What the system of this machine can do."""

from __future__ import annotations

from pathlib import Path

from microservo.application.connection import known_system
from microservo.platforms.local.platform import running_platform
from microservo.platforms.platform import kinds_here


def carried_kinds(system: str | None = None) -> frozenset[str] | None:
    """The kinds of faults that the target of the running system can carry; None where no target runs here.

    Args:
        system: its name; the default one, or the only one that runs, if not given.
    """
    found = known_system(system)
    platform = None if found is None else running_platform(Path(found.target_state))
    return None if platform is None else kinds_here(platform)
