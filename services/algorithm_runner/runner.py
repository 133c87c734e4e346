"""Follows what is deployed and how far it has come, and starts and stops hosts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from microservo.adapters.broker import Message
from microservo.domain.deployments import Host, Start, changes, deployment_id
from microservo.log.publisher import Publisher
from schemas.catalogue import ALGORITHM_STATES, ALGORITHMS
from schemas.codec import SchemaError, decode_as
from schemas.records import AlgorithmDeployment, AlgorithmPhase, AlgorithmState
from services.algorithm_runner.hosts import Hosts

logger = logging.getLogger(__name__)

FLUSH_S = 10.0
REMOVED = "it was removed"
"""Why the last version of an algorithm that is deployed no longer has stopped."""
_BEFORE_THE_NEXT: frozenset[AlgorithmPhase] = frozenset({"running", "stopped"})
"""What a version says that its next one has not replaced: it ended with the runner, or was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Started:
    """A version that was started here, and when."""

    deployment: AlgorithmDeployment
    at_us: int


class Runner:
    """What runs on this machine, and what should.

    Args:
        hosts: starts and stops processes.
        publisher: writes the states of what was stopped.
        topic: the physical name of a topic of the contract.
        run_id: the run that is scored; states of other runs say nothing.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        *,
        hosts: Hosts,
        publisher: Publisher,
        topic: Callable[[str], str],
        run_id: str,
        clock: Callable[[], int],
    ) -> None:
        self._hosts = hosts
        self._publisher = publisher
        self._deployments_topic = topic(ALGORITHMS)
        self._states_topic = topic(ALGORITHM_STATES)
        self._run_id = run_id
        self._clock = clock
        self._deployed: dict[str, AlgorithmDeployment] = {}
        self._states: dict[str, AlgorithmState] = {}
        self._unreadable: set[str] = set()
        """Names of what is deployed in a way that this runner can't read."""
        self._has_begun = False
        self._may_have_leftovers = True
        self._started: dict[str, _Started] = {}
        """What has a host process here, by deployment id."""
        self._failed: dict[str, Host] = {}
        """What has failed and whose process was stopped."""

    def take(self, messages: Sequence[Message]) -> None:
        """Enters what was deployed, removed, and how far it has come; what can't be read is passed over."""
        for message in messages:
            try:
                self._enter(message)
            except SchemaError as error:
                logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)

    def reconcile(self) -> None:
        """Starts and stops what has to be.

        Raises:
            Retryable: the broker is busy; call it again.
        """
        if not self._has_begun:
            self._has_begun = True
            self._resume_former()
        self._stop_failed()
        for change in changes(self._deployed, self._running()):
            if isinstance(change, Start):
                self._start(change.deployment)
                self._resume_beside(change.deployment)
            else:
                self._stop(change.deployment_id, change.phase)
        self._remove_leftovers()
        self._publisher.flush(FLUSH_S)

    def stop(self) -> None:
        """Stops all hosts; what is deployed stays so."""
        self._hosts.stop_all(self._started)
        self._started.clear()

    def _enter(self, message: Message) -> None:
        key = (message.key or b"").decode()
        if message.topic == self._deployments_topic:
            self._unreadable.discard(key)
            if message.value is None:
                self._deployed.pop(key, None)
                self._may_have_leftovers = True
                return
            try:
                self._deployed[key] = decode_as(AlgorithmDeployment, message.value)
            except SchemaError:
                self._unreadable.add(key)
                raise
        elif message.value is None:
            self._states.pop(key, None)
        else:
            self._states[key] = decode_as(AlgorithmState, message.value)
            # What a host said at its end, behind its removal.
            self._may_have_leftovers |= self._is_left_over(key)

    def _running(self) -> dict[str, Host]:
        """What runs here or has failed, and how far each has come."""
        return {id_: self._host(id_) for id_ in self._started} | self._failed

    def _host(self, id_: str) -> Host:
        started = self._started[id_]
        state = self._states.get(id_)
        # What an earlier process said of itself says nothing of this one.
        is_its_own = (
            state is not None and state.run_id == self._run_id and state.updated_at_us >= started.at_us
        )
        phase: AlgorithmPhase = state.phase if state is not None and is_its_own else "building"
        return Host(deployment=started.deployment, phase=phase)

    def _resume_former(self) -> None:
        """Starts what ran before its next version, which had not taken over when this process ended."""
        for former in self._hosts.kept():
            newest, state = self._deployed.get(former.algorithm), self._states.get(deployment_id(former))
            if newest is None or not newest.is_wanted or former.version >= newest.version:
                continue
            if state is not None and state.phase in _BEFORE_THE_NEXT:
                self._start(former)

    def _resume_beside(self, newest: AlgorithmDeployment) -> None:
        """Starts what ran beside a version when both were stopped, since that one had not taken over."""
        for former in self._hosts.kept():
            id_ = deployment_id(former)
            state = self._states.get(id_)
            if former.algorithm != newest.algorithm or former.version >= newest.version or state is None:
                continue
            # What was stopped before the next version was deployed did not run beside it.
            ran_beside = state.phase == "stopped" and state.updated_at_us >= newest.deployed_at_us
            if ran_beside and id_ not in self._started:
                self._start(former)

    def _start(self, deployment: AlgorithmDeployment) -> None:
        logger.info("starting %s", deployment_id(deployment))
        self._hosts.start(deployment)
        started = _Started(deployment=deployment, at_us=self._clock())
        self._started[deployment_id(deployment)] = started

    def _stop_failed(self) -> None:
        for id_, host in [(each, self._host(each)) for each in self._started]:
            if host.phase == "failed":
                self._hosts.stop(id_)
                del self._started[id_]
                self._failed[id_] = host

    def _stop(self, id_: str, phase: AlgorithmPhase) -> None:
        logger.info("stopping %s", id_)
        self._failed.pop(id_, None)
        if self._started.pop(id_, None) is not None:
            self._hosts.stop(id_)
        state = self._states.get(id_)
        if state is not None and state.algorithm in self._deployed:
            self._publisher.publish(replace(state, phase=phase, reason="", updated_at_us=self._clock()))

    def _remove_leftovers(self) -> None:
        """Removes what is left of algorithms that are deployed no longer, but which version was the last."""
        if not self._may_have_leftovers:
            return
        left_over = [state for id_, state in self._states.items() if self._is_left_over(id_)]
        last = {each.algorithm: each for each in sorted(left_over, key=attrgetter("algorithm_version"))}
        for state in left_over:
            if state is not last[state.algorithm]:
                self._publisher.delete(AlgorithmState, state.deployment_id)
                del self._states[state.deployment_id]
            elif state.reason != REMOVED:
                # The last one stays: the next version of this name must not be one that has said something.
                gone = replace(state, phase="stopped", reason=REMOVED, updated_at_us=self._clock())
                self._publisher.publish(gone)
                self._states[state.deployment_id] = gone
        for deployment in self._hosts.kept():
            if self._is_left_over(deployment_id(deployment)):
                self._hosts.remove(deployment_id(deployment))
        self._may_have_leftovers = False

    def _is_left_over(self, id_: str) -> bool:
        name = id_.rpartition("@")[0]
        return name not in self._deployed and name not in self._unreadable
