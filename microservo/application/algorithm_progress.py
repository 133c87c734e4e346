"""Waiting for an algorithm that was deployed: stage by stage, until it scores what comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from microservo.application.command import Command, Context
from microservo.application.progress import Progress
from microservo.domain.deployments import deployment_id
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.log.reader import read_state
from microservo.log.subscription import Subscription
from schemas.catalogue import ALGORITHM_STATES, ALGORITHMS
from schemas.records import AlgorithmDeployment, AlgorithmPhase, AlgorithmState

_STAGES: dict[AlgorithmPhase, str] = {
    "building": "its environment",
    "checking": "its checks",
    "learning": "what the run was so far",
}
"""Each lasts until a later phase is reached."""
_ENDED: tuple[AlgorithmPhase, ...] = ("failed", "stopped", "replaced")
_POLL_S = 0.2
_SILENCE_S = 60.0
"""A runner says something of what was deployed within a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForAlgorithm(Command[AlgorithmState]):
    """Asks to wait until the newest version of an algorithm runs, and a detector has scored a window live.

    Attributes:
        name: under which it is deployed.
    """

    name: str


def wait_for_algorithm(command: WaitForAlgorithm, context: Context) -> AlgorithmState:
    """How it is then.

    Raises:
        InvalidInput: none of this name is deployed, or it is stopped.
        MicroServoError: it has failed; with the reason.
        Unavailable: nothing is heard of it.
    """
    connection = context.connection
    deployed = read_state(connection.broker, connection.topic(ALGORITHMS), AlgorithmDeployment)
    deployment = deployed.get(command.name)
    if deployment is None or not deployment.is_wanted:
        what = "deployed" if deployment is None else "wanted to run"
        msg = f"no algorithm {command.name!r} is {what}; deploy or start it first"
        raise InvalidInput(msg)
    with _followed(deployment, context) as followed:
        for phase, title in _STAGES.items():
            followed.wait_beyond(phase, f"{command.name}: {title}", context.progress)
        if deployment.task == "detector":
            followed.wait_for_score(f"{command.name}: first score of a new window", context.progress)
        assert followed.state is not None
        return followed.state


class _Followed:
    """The states of one deployment, as they come; those of other runs are left out where the run is known."""

    def __init__(
        self,
        deployment: AlgorithmDeployment,
        states: Subscription,
        state: AlgorithmState | None,
        run_id: str | None,
    ) -> None:
        self._deployment = deployment
        self._id = deployment_id(deployment)
        self._states = states
        self._run_id = run_id
        self.state = state if state is not None and self._is_of_it(state) else None

    def wait_beyond(self, phase: AlgorithmPhase, title: str, progress: Progress) -> None:
        """Waits until a later phase is reached."""
        self._wait(title, progress, lambda state: _is_beyond(state.phase, phase))

    def wait_for_score(self, title: str, progress: Progress) -> None:
        """Waits until a window was scored as it came."""
        self._wait(title, progress, lambda state: state.latency_p50_us is not None)

    def _wait(self, title: str, progress: Progress, is_over: Callable[[AlgorithmState], bool]) -> None:
        if self.state is not None:
            self._refuse_end(self.state)
            if is_over(self.state):
                return
        silent_s = time.monotonic() + _SILENCE_S
        with progress.stage(title) as stage:
            while self.state is None or not is_over(self.state):
                received = self._states.poll(_POLL_S)
                record = None if received is None else received.record
                if isinstance(record, AlgorithmState) and self._is_of_it(record):
                    self.state = record
                    if record.phase == "learning":
                        stage.advance(record.learned_windows, record.windows_to_learn)
                    stage.show(record.reason)
                    self._refuse_end(record)
                elif self.state is None and time.monotonic() > silent_s:
                    msg = (
                        f"nothing is heard of {self._id} for {_SILENCE_S:g} s; does the algorithm runner run?"
                    )
                    raise Unavailable(msg)

    def _is_of_it(self, state: AlgorithmState) -> bool:
        """Whether a state is of this version, and not of an earlier one of its number or an earlier run."""
        is_old = state.updated_at_us < self._deployment.deployed_at_us
        is_of_run = self._run_id in (None, state.run_id)
        return state.deployment_id == self._id and is_of_run and not is_old

    def _refuse_end(self, state: AlgorithmState) -> None:
        if state.phase in _ENDED:
            reason = f": {state.reason}" if state.reason else ""
            more = f"`microservo algorithm logs {state.algorithm}` says more"
            msg = f"{self._id} is {state.phase}{reason}; {more}"
            raise MicroServoError(msg)


def _is_beyond(reached: AlgorithmPhase, phase: AlgorithmPhase) -> bool:
    order = (*_STAGES, "running")
    return reached in order and order.index(reached) > order.index(phase)


@contextmanager
def _followed(deployment: AlgorithmDeployment, context: Context) -> Iterator[_Followed]:
    connection = context.connection
    topic = connection.topic(ALGORITHM_STATES)
    # Its place is fixed before we look at what is there, so that no state falls between the two.
    with Subscription(connection.broker, topic) as states:
        known = read_state(connection.broker, topic, AlgorithmState).get(deployment_id(deployment))
        system = connection.system
        yield _Followed(deployment, states, known, None if system is None else system.run_id)
