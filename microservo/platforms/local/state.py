"""The target system that runs as processes of this machine, as its launcher records it.

The launcher writes the state file anew at every change, in one step; everybody else reads it each time they
want to know. An instance that has crashed keeps its entry, its ports and its URLs; its `pid` is None until
it is back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from microservo.domain.documents import problem
from microservo.errors import InvalidInput, Unavailable

OPEN_FILES = 1024
"""How many files and connections an instance may have open, where its machine allows as many."""
_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalInstance:
    """One instance of a service, and the sidecar on its path.

    Args:
        pid: None while it is down, as is `sidecar_pid`.
        started_at_us: when its process was last started, epoch microseconds UTC; 0 if never.
        ended_at_us: when its process last ended, likewise.
        port: where the instance itself answers; callers use `sidecar_port`.
        control_url: fault control API of the instance.
        sidecar_url: fault control API of its sidecar.
    """

    id: str
    service: str
    pid: int | None
    started_at_us: int
    ended_at_us: int
    port: int
    control_url: str
    sidecar_pid: int | None
    sidecar_port: int
    sidecar_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loadgen:
    """The load generator; `pid` is None while it is down."""

    pid: int | None
    control_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """The collector that the target's telemetry goes to; `pid` is None while it is down."""

    pid: int | None
    control_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """The whole target at `updated_at_us` (epoch microseconds UTC).

    Args:
        edges: (caller, callee).
        control_token: what the control APIs of instances, sidecars, load and collector ask for.
        collector: None where others run it, so that it can't be asked for faults.
        launcher_url: control API of who owns hosts and containers; empty where there are no hosts.
    """

    topology: str
    updated_at_us: int
    edges: tuple[tuple[str, str], ...]
    instances: tuple[LocalInstance, ...]
    loadgen: Loadgen
    control_token: str
    collector: Collector | None = None
    launcher_url: str = ""

    def instance(self, instance_id: str) -> LocalInstance | None:
        """The instance of this id, if there is one."""
        return next((each for each in self.instances if each.id == instance_id), None)


_STATE = TypeAdapter(TargetState)


def write_state(state_file: Path, state: TargetState) -> None:
    """Writes the state in one step, for its owner alone: a reader sees the old one or the new one, whole."""
    state_file.parent.mkdir(parents=True, exist_ok=True)
    draft = state_file.with_name(f"{state_file.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
        file.write(_STATE.dump_json(state, indent=1))
    draft.replace(state_file)


def read_state(state_file: Path) -> TargetState:
    """The state as last written.

    Raises:
        Unavailable: there is no file, so no target runs.
        InvalidInput: it is not a state file.
    """
    try:
        return _STATE.validate_json(state_file.read_bytes())
    except FileNotFoundError as error:
        message = f"no target is running: there is no {state_file}; start one with 'microservo up'"
        raise Unavailable(message) from error
    except PermissionError as error:
        message = f"{state_file} belongs to another user; run this as the user who started the target"
        raise InvalidInput(message) from error
    except ValidationError as error:
        # Not "from error": that shows the whole input, and there is a token in it.
        what = problem(error, secret=True)
    message = f"{state_file} is not a target's state ({what}); its launcher writes it anew at each change"
    raise InvalidInput(message)
