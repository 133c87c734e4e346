"""States of a local target, for tests."""

from __future__ import annotations

import time

from microservo.platforms.local.state import Instance, Loadgen, TargetState


def a_target(*, started_at_us: int | None = None, **pids: int | None) -> TargetState:
    """A target of one instance of each service, by the process ids given."""
    now_us = int(time.time() * 1e6)
    return TargetState(
        topology="t",
        updated_at_us=now_us,
        edges=(),
        instances=tuple(
            Instance(
                id=f"{service}-0",
                service=service,
                pid=pid,
                started_at_us=now_us if started_at_us is None else started_at_us,
                port=1,
                control_url="",
                sidecar_pid=None,
                sidecar_port=1,
                sidecar_url="",
            )
            for service, pid in pids.items()
        ),
        loadgen=Loadgen(pid=None, control_url=""),
    )
