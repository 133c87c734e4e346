"""Where the running systems of this machine are recorded: `<home>/systems/<name>/system.json`.

The home is `MICROSERVO_HOME`, `~/.microservo` where that is not set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from microservo.adapters.files import write_whole
from microservo.errors import InvalidInput, Unavailable

DEFAULT_SYSTEM = "default"
_SAME_PROCESS_S = 1.0
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFile:
    """What there is to know about a running system.

    Attributes:
        pid: process that runs it (`microservo up` or `microservo demo`).
        created_at_s: when that process began, epoch seconds, so that a reused pid is not taken for it.
        ports: every port in use, by what listens on it.
        algorithms_dir: code, memory and logs of what is deployed, a folder for each version.
        catalogue_url: of the database that the system's own projector keeps; empty where there is none, or
            the environment names another one, in which there may be a password.
    """

    name: str
    bootstrap_servers: str
    topic_prefix: str
    run_id: str
    pid: int
    created_at_s: float
    target_state: str
    otlp_url: str
    log_dir: str
    ports: Mapping[str, int] = field(default_factory=dict)
    algorithms_dir: str = ""
    catalogue_url: str = ""


_DOCUMENT = TypeAdapter(SystemFile)


def home() -> Path:
    """The directory of all state of embedded systems.

    Raises:
        Unavailable: neither the environment nor the user's account names one.
    """
    if own := os.environ.get("MICROSERVO_HOME"):
        return Path(own).absolute()
    try:
        return Path.home() / ".microservo"
    except RuntimeError as error:
        msg = "this user has no home directory; set MICROSERVO_HOME to a folder that can be written"
        raise Unavailable(msg) from error


def environments_folder() -> Path:
    """Where the environments of algorithms are kept, for all systems of this user."""
    return home() / "environments"


def system_dir(name: str) -> Path:
    """The directory of one system; it need not exist.

    Raises:
        InvalidInput: not a name that makes a safe folder.
    """
    if not _NAME.fullmatch(name):
        msg = f"system name {name!r} is not usable; take up to 41 lower-case letters, digits and '-'"
        raise InvalidInput(msg)
    return home() / "systems" / name


def write_system(system: SystemFile) -> Path:
    """Writes the file, in one step, and returns its path.

    Raises:
        OSError: it can't be written.
    """
    path = system_dir(system.name) / "system.json"
    write_whole(path, _DOCUMENT.dump_json(system, indent=2) + b"\n")
    return path


def read_system(name: str) -> SystemFile | None:
    """The system of that name as last written; None where there is none (or one that can't be read)."""
    try:
        return _DOCUMENT.validate_json((system_dir(name) / "system.json").read_bytes())
    # pydantic's ValidationError is a ValueError.
    except (OSError, ValueError):
        return None


def remove_system(name: str) -> None:
    """Forgets the system; its data and logs stay."""
    (system_dir(name) / "system.json").unlink(missing_ok=True)


def is_running(system: SystemFile) -> bool:
    """Whether the process that runs the system is alive; a reused pid does not count.

    Nor does one that has ended, and whose parent has not asked how.
    """
    try:
        process = psutil.Process(system.pid)
        is_same = abs(process.create_time() - system.created_at_s) < _SAME_PROCESS_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def running_system(name: str) -> SystemFile | None:
    """The system of that name if it runs now."""
    system = read_system(name)
    return system if system is not None and is_running(system) else None


def running_systems() -> list[SystemFile]:
    """Every system of this machine that runs now, by name."""
    names = sorted(path.parent.name for path in (home() / "systems").glob("*/system.json"))
    return [system for name in names if (system := running_system(name)) is not None]
