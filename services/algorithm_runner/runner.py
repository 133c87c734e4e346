"""Follows what is deployed and how far it has come, and starts and stops hosts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from microservo.adapters.broker import Message
from microservo.domain.deployments import Host, Start, changes, deployment_id
from microservo.log.publisher import Publisher
from schemas.catalogue import ALGORITHM_STATES, ALGORITHMS
from schemas.codec import SchemaError, decode_as
from schemas.records import AlgorithmDeployment, AlgorithmPhase, AlgorithmState
from services.algorithm_runner.hosts import Hosts

logger = logging.getLogger(__name__)

FLUSH_S = 10.0


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
        self._stop_failed()
        for change in changes(self._deployed, self._running()):
            if isinstance(change, Start):
                logger.info("starting %s", change.deployment.algorithm)
                self._hosts.start(change.deployment)
                started = _Started(deployment=change.deployment, at_us=self._clock())
                self._started[deployment_id(change.deployment)] = started
            else:
                self._stop(change.deployment_id, change.phase)
        self._publisher.flush(FLUSH_S)

    def _enter(self, message: Message) -> None:
        key = (message.key or b"").decode()
        if message.topic == self._deployments_topic:
            if message.value is None:
                self._deployed.pop(key, None)
            else:
                self._deployed[key] = decode_as(AlgorithmDeployment, message.value)
        elif message.value is None:
            self._states.pop(key, None)
        else:
            self._states[key] = decode_as(AlgorithmState, message.value)

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
        return Host(
            algorithm=started.deployment.algorithm,
            version=started.deployment.version,
            phase=state.phase if state is not None and is_its_own else "building",
        )

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
        if id_.rpartition("@")[0] not in self._deployed:
            self._publisher.delete(AlgorithmState, id_)
            self._hosts.remove(id_)
        elif state is not None:
            self._publisher.publish(replace(state, phase=phase, reason="", updated_at_us=self._clock()))
