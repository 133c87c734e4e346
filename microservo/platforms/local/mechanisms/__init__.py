"""How faults are really put in force on the instances of a local target: one mechanism per module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from microservo.domain.faults.catalogue import KINDS
from microservo.domain.graph import OUTSIDE
from microservo.platforms.local.mechanisms.both_ways import BothWays
from microservo.platforms.local.mechanisms.control_api import ControlApi
from microservo.platforms.local.mechanisms.process import ProcessSignals
from microservo.platforms.local.mechanisms.process_limits import ProcessLimits
from microservo.platforms.local.state import LocalInstance, TargetState
from microservo.platforms.mechanism import Mechanism
from microservo.platforms.noop import NoopMechanism

COLLECTOR = "collector"
USERS = "loadgen"
HOSTS = "hosts"
"""Of a launcher's target alone: others are all in one place, which is this machine."""
NAMES = frozenset({"none", "process", "limits", "workload", "sidecar", "network", USERS, COLLECTOR})
"""The names of the mechanisms that every local target has, but for `COLLECTOR`."""


def kinds_of_local_targets() -> tuple[str, ...]:
    """The kinds that can be carried on this machine, in order of the catalogue; others need a cluster."""
    return tuple(name for name, kind in KINDS.items() if NAMES.intersection(kind.mechanisms))


def local_mechanisms(state: Callable[[], TargetState], clock: Callable[[], int]) -> Sequence[Mechanism]:
    """The mechanisms of a local target.

    Args:
        state: the target at this moment; raises `Unavailable` while none runs.
        clock: epoch microseconds UTC.
    """
    workload = ControlApi("workload", lambda _, instance: instance.control_url, state, clock)
    sidecar = ControlApi("sidecar", lambda _, instance: instance.sidecar_url, state, clock)
    return [
        NoopMechanism(clock),
        ProcessSignals(state, clock),
        ProcessLimits(state, clock),
        workload,
        sidecar,
        BothWays("network", (workload, sidecar)),
        ControlApi(USERS, _users_url, state, clock, is_shared=True),
        ControlApi(HOSTS, lambda target, _: target.launcher_url, state, clock, is_shared=True),
        ControlApi(COLLECTOR, lambda target, _: _collector_url(target), state, clock, is_shared=True),
    ]


def _users_url(target: TargetState, instance: LocalInstance) -> str:
    """Of the load generator, for the instances that its users come to."""
    come = any(caller in OUTSIDE and callee == instance.service for caller, callee in target.edges)
    return target.loadgen.control_url if come else ""


def _collector_url(target: TargetState) -> str:
    return "" if target.collector is None else target.collector.control_url
