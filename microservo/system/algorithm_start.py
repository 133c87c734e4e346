"""Waiting for the algorithms that a system deploys at its start."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from microservo.application.progress import Progress
from microservo.client import Client
from schemas.records import AlgorithmPhase, AlgorithmState

_POLL_S = 0.5
_DONE: tuple[AlgorithmPhase, ...] = ("running", "failed")


def wait_for_algorithms(
    client: Client, run_id: str, names: Iterable[str], timeout_s: float, progress: Progress
) -> None:
    """Waits until algorithms run; notes those that don't, with the reason, and goes on without them.

    Args:
        client: of the system.
        run_id: its run; what they were in others says nothing.
        names: under which they are deployed.
        timeout_s: so long at the most.
        progress: shows how many run.
    """
    wanted = list(names)
    deadline_s = time.monotonic() + timeout_s
    with progress.stage("algorithms") as stage:
        states = _states(client, run_id)
        while not _are_done(wanted, states) and time.monotonic() < deadline_s:
            running = sum(name in states and states[name].phase == "running" for name in wanted)
            stage.advance(running, len(wanted))
            stage.show(_waited_for(wanted, states))
            time.sleep(_POLL_S)
            states = _states(client, run_id)
        without = {name: _why_not(states.get(name)) for name in wanted}
        without = {name: reason for name, reason in without.items() if reason}
        stage.show(f"{len(wanted) - len(without)} of {len(wanted)} run")
    for name, reason in without.items():
        progress.note(f"{name} does not run: {reason}; going on without it")


def _states(client: Client, run_id: str) -> Mapping[str, AlgorithmState]:
    """How far the newest version of each has come in a run."""
    return {
        each.deployment.algorithm: state
        for each in client.algorithms.list()
        for state in each.states
        if state.algorithm_version == each.deployment.version and state.run_id == run_id
    }


def _are_done(wanted: Iterable[str], states: Mapping[str, AlgorithmState]) -> bool:
    return all(name in states and states[name].phase in _DONE for name in wanted)


def _waited_for(wanted: Iterable[str], states: Mapping[str, AlgorithmState]) -> str:
    waiting = [
        f"{name} {states[name].phase if name in states else 'waiting'}"
        for name in wanted
        if name not in states or states[name].phase not in _DONE
    ]
    return ", ".join(waiting[:3]) + (", ..." if len(waiting) > 3 else "")


def _why_not(state: AlgorithmState | None) -> str:
    """Why it does not run; empty where it does."""
    if state is None:
        return "nothing is heard of it"
    if state.phase == "running":
        return ""
    # What pip complains about has lines.
    return " ".join(state.reason.split()) if state.phase == "failed" else f"it is still {state.phase}"
