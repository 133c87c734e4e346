"""The process: a consumer of all that the run writes besides telemetry, a board, tasks beside it, a pulse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from microservo.adapters.broker import Broker, Consumer, Partition
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.evaluation import RunEvaluation
from microservo.errors import MicroServoError
from microservo.log.publisher import Publisher
from microservo.log.ranges import RangeReader, Ranges
from microservo.log.reader import read_state
from microservo.retry import retry
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import EVALUATIONS, EXPERIMENTS, catalogue
from schemas.records import Evaluation, Experiment
from services.evaluator.handlers import READ, Handlers
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.task_loop import TaskLoop
from services.evaluator.task_processes import Processes

logger = logging.getLogger(__name__)

POLL_S = 0.2
LINGER_MS = 5
_LONGEST_ROUND_S = 300.0
"""All metrics of many algorithms over a long run take their time."""


def run(
    settings: EvaluatorSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    processes: Processes | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Keeps the board up to date until shutdown; a run that is over by then gets its final evaluations.

    Raises:
        InvalidInput: a topic is missing.
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    pulse = Pulse(_LONGEST_ROUND_S)
    tasks = TaskLoop(settings, shutdown, broker=broker, clock=clock, processes=processes)
    with ExitStack() as stack:
        stack.enter_context(HealthServer(settings.health_port, lambda: pulse.is_alive() and tasks.is_alive()))
        stack.enter_context(tasks.running())
        # Also if the board has to stop.
        stack.callback(shutdown.request)
        producer = stack.enter_context(broker.producer(linger_ms=LINGER_MS))
        handlers = Handlers(
            RunEvaluation(settings.run_id),
            publisher=Publisher(producer, "evaluator", prefix=settings.topic_prefix, clock=clock),
            topic=settings.topic,
            interval_us=round(settings.board_interval_s * 1e6),
            clock=clock,
        )

        def keep_house() -> None:
            pulse.beat()
            handlers.advance()

        def catch_up() -> Consumer:
            _read(settings, broker, handlers, pulse.beat)
            consumer = broker.consumer(group_id=None)
            consumer.assign(handlers.next_offsets)
            return consumer

        retry(lambda: _read_earlier(settings, broker, handlers), wait=shutdown.wait, on_failure=_log_failure)
        consumer = retry(catch_up, wait=shutdown.wait, on_failure=_log_failure)
        consume_loop(
            consumer, handlers.handle, shutdown=shutdown, timeout_s=POLL_S, on_idle=keep_house, commit=False
        )
        _read(settings, broker, handlers, pulse.beat)
        handlers.advance(is_last=True)


def _read_earlier(settings: EvaluatorSettings, broker: Broker, handlers: Handlers) -> None:
    """Hands over the evaluations that earlier processes published."""
    earlier = read_state(broker, settings.topic(EVALUATIONS), Evaluation)
    handlers.resume(each for each in earlier.values() if each.run_id == settings.run_id)


def _read(
    settings: EvaluatorSettings, broker: Broker, handlers: Handlers, on_step: Callable[[], None]
) -> None:
    """Hands over what is on the log by now, from where it was left off.

    Raises:
        InvalidInput: a topic is missing.
        Retryable: the broker is away for now; call it again.
    """
    with broker.consumer(group_id=None) as consumer:
        ranges = _ranges(settings, broker, consumer, handlers.next_offsets)
        for batch in RangeReader(consumer, ranges, compacted=True):
            handlers.handle(batch)
            on_step()
    handlers.next_offsets.update({partition: end for partition, (_, end) in ranges.items()})


def _ranges(
    settings: EvaluatorSettings, broker: Broker, consumer: Consumer, next_offsets: Mapping[Partition, int]
) -> Ranges:
    """From where each partition was left off, or else where the run begins, to where it ends now."""
    run = read_state(broker, settings.topic(EXPERIMENTS), Experiment).get(settings.run_id)
    found = {}
    for name in READ:
        # What is deployed is older than the run.
        starts = {} if run is None or catalogue()[name].kind == "state" else run.start_offsets
        for partition in consumer.partitions(settings.topic(name)):
            first, end = consumer.offset_range(partition)
            start = max(first, starts.get(f"{name}/{partition.index}", first))
            found[partition] = min(next_offsets.get(partition, start), end), end
    return found


def _log_failure(error: MicroServoError) -> None:
    logger.warning("reading the run back failed for now: %s", error)
