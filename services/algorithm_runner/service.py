"""The process: a consumer of what is deployed, a supervisor of hosts, a pulse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from microservo.adapters.broker import Broker, Consumer, Partition
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.log.publisher import Publisher
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from
from microservo.retry import retry
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from microservo.supervision.environment_build import pip_variables
from microservo.supervision.supervisor import Supervisor
from schemas.catalogue import ALGORITHM_STATES, ALGORITHMS
from services.algorithm_runner.hosts import Hosts, Processes
from services.algorithm_runner.runner import Runner
from services.algorithm_runner.settings import AlgorithmRunnerSettings

IDLE_S = 0.5
"""Between two rounds where nothing is said."""
COMPANY_S = 0.02
"""States and deployments that come together are taken together."""
LINGER_MS = 1


def run(
    settings: AlgorithmRunnerSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    processes: Processes | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Keeps hosts running until shutdown, then stops them.

    Raises:
        InvalidInput: a topic is missing.
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    pulse = Pulse()
    with ExitStack() as stack:
        stack.enter_context(HealthServer(settings.health_port, pulse.is_alive))
        producer = stack.enter_context(broker.producer(linger_ms=LINGER_MS))
        kept = processes or stack.enter_context(Supervisor())
        runner = Runner(
            hosts=Hosts(settings, kept, pip_variables()),
            publisher=Publisher(producer, "algorithm_runner", prefix=settings.topic_prefix, clock=clock),
            topic=settings.topic,
            run_id=settings.run_id,
            clock=clock,
        )

        def keep_house() -> None:
            runner.reconcile()
            pulse.beat()

        stack.callback(runner.stop)
        consumer = retry(lambda: _caught_up(settings, broker, runner), wait=shutdown.wait)
        consume_loop(
            consumer,
            runner.take,
            shutdown=shutdown,
            timeout_s=COMPANY_S,
            idle_s=IDLE_S,
            on_idle=keep_house,
            commit=False,
        )


def _caught_up(settings: AlgorithmRunnerSettings, broker: Broker, runner: Runner) -> Consumer:
    """A consumer that goes on behind what the runner has read: what was removed must not be started first.

    Raises:
        InvalidInput: a topic is missing.
        Retryable: the broker is away for now.
    """
    ends: dict[Partition, int] = {}
    # States first: what runs by them is judged by what is deployed.
    for topic in (ALGORITHM_STATES, ALGORITHMS):
        with broker.consumer(group_id=None) as reader:
            ranges = ranges_from(reader, settings.topic(topic))
            runner.take(list(read_ranges(reader, ranges, compacted=True)))
        ends |= {partition: end for partition, (_, end) in ranges.items()}
    consumer = broker.consumer(group_id=None)
    consumer.assign(ends)
    return consumer
