"""The process: what is deployed is made ready, checked and run, and started again when it breaks down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

from microservo.adapters.broker import Broker, Producer
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.algorithms.deployed import plugin_of
from microservo.algorithms.running import Workplace
from microservo.algorithms.spec import Plugin
from microservo.errors import (
    AlgorithmFailed,
    AlgorithmRefused,
    InvalidInput,
    InvalidMessage,
    Unavailable,
)
from microservo.log.dead_letters import DeadLetters
from microservo.log.publisher import Publisher
from microservo.runtime.health import HealthServer
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from microservo.supervision.environments import Environment, EnvironmentCache
from microservo.supervision.fence import Fence
from microservo.supervision.fence_unfenced import Unfenced
from schemas.catalogue import ALGORITHM_FILES
from schemas.records import AlgorithmDeployment
from services.algorithm_host.case_life import CaseLife
from services.algorithm_host.checking import check
from services.algorithm_host.deployment import read_deployment
from services.algorithm_host.detector_life import DetectorLife
from services.algorithm_host.life import Surroundings
from services.algorithm_host.memory import Memory
from services.algorithm_host.outbox import Outbox
from services.algorithm_host.settings import AlgorithmHostSettings
from services.algorithm_host.states import States

logger = logging.getLogger(__name__)

LINGER_MS = 1
MOST_FAILURES = 5
"""In a row, each within `STEADY_S` of the one before: then it is given up."""
STEADY_US = 300_000_000
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
_BOUND_BY: Mapping[str, str] = {
    "BlockingIOError": "processes",
    "File too large": "disk",
    "No space left": "disk",
    "MemoryError": "memory",
    "Too many open files": "open files",
}
"""What an algorithm raises that comes to a bound of its fence, and which one that is."""
_BUILD_ROUND_S = 1000.0
"""No pulse is asked for while an environment is built."""


def run(
    settings: AlgorithmHostSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Runs one deployed algorithm until shutdown.

    Raises:
        InvalidInput: it was not told what to run.
        Retryable, Unavailable: the broker is away; whoever started this process starts it again.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    pulse = Pulse(_BUILD_ROUND_S)
    with ExitStack() as stack:
        stack.enter_context(HealthServer(settings.health_port, pulse.is_alive))
        producer = stack.enter_context(broker.producer(linger_ms=LINGER_MS))
        deployment = read_deployment(settings.deployment)
        host = AlgorithmHost(settings, deployment, broker=broker, producer=producer, pulse=pulse, clock=clock)
        host.run(shutdown)


class AlgorithmHost:
    """One deployment, through all lives of its process.

    Args:
        settings: of the host.
        deployment: what runs.
        broker: where everything is.
        producer: of all that is published.
        pulse: beats while it goes on.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        settings: AlgorithmHostSettings,
        deployment: AlgorithmDeployment,
        *,
        broker: Broker,
        producer: Producer,
        pulse: Pulse,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._deployment = deployment
        self._broker = broker
        self._pulse = pulse
        self._clock = clock
        publisher = Publisher(producer, "algorithm_host", prefix=settings.topic_prefix, clock=clock)
        memory = Memory(settings.algorithm_folder, settings.run_id)
        memory.forget_old_runs()
        self._states = States(publisher, deployment, settings.run_id, clock)
        self._around = Surroundings(
            settings=settings,
            deployment=deployment,
            broker=broker,
            outbox=Outbox(publisher, memory),
            memory=memory,
            states=self._states,
            dead_letters=DeadLetters(producer, settings.topic_prefix),
            pulse=pulse,
            clock=clock,
        )

    def run(self, shutdown: Shutdown) -> None:
        """Makes it ready, checks it, and runs it until shutdown, or until it has failed for good.

        Raises:
            Retryable, Unavailable: the broker is away.
        """
        try:
            self._states.publish()
            settings = self._settings
            topic = settings.topic(ALGORITHM_FILES)
            plugin = plugin_of(self._deployment, self._broker, topic, settings.algorithm_folder)
            workplace, environment = self._prepared(plugin)
            with environment:
                self._states.change(
                    phase="checking", environment_sha256=environment.sha256, holds=workplace.holds
                )
                check(workplace, environment, self._settings.checks, self._pulse.beat)
                self._live(workplace, environment, shutdown)
        except (InvalidInput, InvalidMessage, AlgorithmFailed) as error:
            logger.exception("%s has failed", self._states.state.deployment_id)
            self._states.change(phase="failed", reason=str(error))
            # Whoever started this process reads the state and stops it; another start would fail alike.
            while not shutdown.wait(1.0):
                self._pulse.beat()
        else:
            self._states.change(phase="stopped")

    def _prepared(self, plugin: Plugin) -> tuple[Workplace, Environment]:
        """Where it runs.

        Raises:
            AlgorithmRefused: this machine has no fence, or its environment can't be had.
        """
        settings = self._settings
        settings.algorithm_folder.mkdir(parents=True, exist_ok=True)
        try:
            fence = Fence.find() if self._deployment.is_fenced else Unfenced()
            cache = EnvironmentCache(settings.environments)
            workplace = Workplace(plugin, fence, cache, settings.algorithm_folder)
            return workplace, workplace.environment(settings.environment_deadline_s)
        except Unavailable as error:
            # Elsewhere it means that the broker is away, which passes.
            raise AlgorithmRefused(str(error)) from error

    def _live(self, workplace: Workplace, environment: Environment, shutdown: Shutdown) -> None:
        failures, failed_at_us = 0, 0
        while not shutdown.requested:
            try:
                self._one_life(workplace, environment, shutdown)
            except AlgorithmRefused:
                raise
            except AlgorithmFailed as error:
                reason = _with_bound(str(error), workplace.holds)
                now_us = self._clock()
                failures = 1 if now_us - failed_at_us > STEADY_US else failures + 1
                failed_at_us = now_us
                logger.warning("%s broke down: %s", self._states.state.deployment_id, reason)
                if failures >= MOST_FAILURES:
                    msg = f"it broke down {failures} times, the last time so: {reason}"
                    raise AlgorithmFailed(msg, error.details) from error
                self._states.change(
                    reason=f"broke down and was started again: {reason}",
                    restarts=self._states.state.restarts + 1,
                )
                shutdown.wait(min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))

    def _one_life(self, workplace: Workplace, environment: Environment, shutdown: Shutdown) -> None:
        with workplace.running(environment) as running:
            running.session.open()
            kind = DetectorLife if self._deployment.task == "detector" else CaseLife
            kind(self._around, running).live(shutdown)


def _with_bound(reason: str, holds: Iterable[str]) -> str:
    """The reason with the bound that the algorithm came to, where it was one."""
    for sign, bound in _BOUND_BY.items():
        for hold in holds:
            if sign in reason and hold.startswith(f"{bound}:"):
                return f"{reason}; its fence allows {hold}"
    return reason
