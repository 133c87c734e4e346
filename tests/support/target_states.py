"""States of local targets, for tests of what reads them."""

from __future__ import annotations

from typing import Any

from microservo.platforms.local.state import Collector, Loadgen, LocalInstance, TargetState

TOKEN = "token-of-the-test"


def local_instance(name: str, *, pid: int | None = 1, **changes: Any) -> LocalInstance:
    """An instance of the service that its name begins with."""
    given: dict[str, Any] = {
        "id": name,
        "service": name.rpartition("-")[0],
        "pid": pid,
        "started_at_us": 1,
        "ended_at_us": 0,
        "port": 1,
        "control_url": "http://127.0.0.1:1",
        "sidecar_pid": 2,
        "sidecar_port": 2,
        "sidecar_url": "http://127.0.0.1:1",
    }
    return LocalInstance(**{**given, **changes})


def target_state(
    *instances: LocalInstance, updated_at_us: int = 1, collector: Collector | None = None
) -> TargetState:
    """A target of these instances, without edges."""
    return TargetState(
        topology="t",
        updated_at_us=updated_at_us,
        edges=(),
        instances=instances,
        loadgen=Loadgen(pid=3, control_url="http://127.0.0.1:1"),
        control_token=TOKEN,
        collector=collector,
    )
