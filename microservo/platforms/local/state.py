"""The target system that runs as processes of this machine, as its launcher writes it down.

The launcher writes the state file anew at every change, in one step; everybody else reads it each time they
want to know. An instance that has crashed keeps its entry, its ports and its URLs; its `pid` is None until
it is back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from microservo.errors import InvalidInput, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of a service, and the sidecar on its path.

    Args:
        pid: None while it is down, as is `sidecar_pid`.
        started_at_us: when its process was last started, epoch microseconds UTC.
        port: where the instance itself answers; callers use `sidecar_port`.
        control_url: fault control API of the instance.
        sidecar_url: fault control API of its sidecar.
    """

    id: str
    service: str
    pid: int | None
    started_at_us: int
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
class TargetState:
    """The whole target at `updated_at_us` (epoch microseconds UTC); edges are (caller, callee)."""

    topology: str
    updated_at_us: int
    edges: tuple[tuple[str, str], ...]
    instances: tuple[Instance, ...]
    loadgen: Loadgen


class LocalTarget:
    """Reads the state file, anew at each call.

    Every method raises `Unavailable` while no target runs, `InvalidInput` when the file is no state file.
    """

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file

    def state(self) -> TargetState:
        """All there is to know."""
        return read_state(self._state_file)

    def instances(self, service: str | None = None) -> list[Instance]:
        """The instances of one service, or of all; [] for a service that is not there."""
        return [each for each in self.state().instances if service in (None, each.service)]

    def services(self) -> list[str]:
        """The services, sorted."""
        return sorted({each.service for each in self.state().instances})

    def edges(self) -> list[tuple[str, str]]:
        """Who may call whom, as (caller, callee)."""
        return list(self.state().edges)


def write_state(state_file: Path, state: TargetState) -> None:
    """Writes the state in one step: a reader sees the old one or the new one, whole."""
    state_file.parent.mkdir(parents=True, exist_ok=True)
    draft = state_file.with_name(f"{state_file.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
    draft.replace(state_file)


def read_state(state_file: Path) -> TargetState:
    """The state as last written.

    Raises:
        Unavailable: there is no file, so no target runs.
        InvalidInput: it is not a state file.
    """
    try:
        return _parse(json.loads(state_file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        message = f"no target is running: there is no {state_file}; start one with 'microservo up'"
        raise Unavailable(message) from error
    except (ValueError, KeyError, TypeError) as error:
        message = (
            f"{state_file} is not a target's state ({error!r}); its launcher writes it anew at each change"
        )
        raise InvalidInput(message) from error


def _parse(given: Mapping[str, Any]) -> TargetState:
    return TargetState(
        topology=given["topology"],
        updated_at_us=given["updated_at_us"],
        edges=tuple((caller, callee) for caller, callee in given["edges"]),
        instances=tuple(Instance(**each) for each in given["instances"]),
        loadgen=Loadgen(**given["loadgen"]),
    )
