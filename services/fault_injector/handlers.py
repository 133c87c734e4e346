"""Messages in, records out to the injector; what can't be read goes to the dead letters."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from microservo.adapters.broker import Consumer, Message, Producer
from microservo.log.dead_letters import DeadLetters
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas.catalogue import FAULT_EFFECTS, FAULT_SCHEDULES, SERVICE_GRAPH
from schemas.codec import SchemaError, decode, decode_as
from schemas.records import FaultRequest, FaultVerdict, ServiceGraph
from services.fault_injector.fault_free import FaultFreeTime
from services.fault_injector.injector import Injector
from services.fault_injector.scheduling import Scheduler

logger = logging.getLogger(__name__)

RecordT = TypeVar("RecordT")
_FLUSH_TIMEOUT_S = 5.0
_MOST_OBSERVATIONS = 1000
_ROUND_S = 0.01
_SERVICE = "fault-injector"


class Handlers:
    """What the injector's loop does with messages.

    Args:
        producer: that of the events and the dead letters, flushed before a batch counts as handled.
        topic: the physical name of a topic of the contract.
        fault_free: ends with the first fault.
        clock: epoch microseconds UTC.
        run_id: graphs and verdicts of other runs say nothing about this one; empty accepts all.
    """

    def __init__(
        self,
        *,
        injector: Injector,
        scheduler: Scheduler,
        dead_letters: DeadLetters,
        producer: Producer,
        fault_free: FaultFreeTime,
        topic: Callable[[str], str],
        run_id: str,
        clock: Callable[[], int],
    ) -> None:
        self._injector = injector
        self._scheduler = scheduler
        self._dead_letters = dead_letters
        self._producer = producer
        self._fault_free = fault_free
        self._clock = clock
        self._graph_topic = topic(SERVICE_GRAPH)
        self._schedules_topic = topic(FAULT_SCHEDULES)
        self._run_id = run_id
        self._observations: deque[Message] = deque()

    def requests(self, batch: list[Message]) -> None:
        """Processes requests, and returns once what they led to is durable.

        Raises:
            Retryable: the broker is busy; give the same batch again.
        """
        self._injector.refresh_target()
        begins_us = []
        for message in batch:
            request = self._decoded(FaultRequest, message)
            if request is not None and self._injector.request(request):
                begins_us.append(request.start_at_us or self._clock())
        self._injector.flush()
        # What is to begin now need not wait until the states are durable and the requests committed.
        self._injector.tick()
        self._producer.flush(_FLUSH_TIMEOUT_S)
        if begins_us:
            self._end_fault_free(min(begins_us))

    def _end_fault_free(self, at_us: int) -> None:
        """Ends the fault-free time durably, while faults go on.

        The record of the run is read and written anew, which takes half a second on a busy machine: for so
        long the fault that has just begun would be confirmed and not labelled.
        """
        if self._fault_free.is_over(at_us):
            return
        with ThreadPoolExecutor(1, thread_name_prefix="fault-free") as thread:
            ended = thread.submit(self._fault_free.end, at_us)
            while wait((ended,), _ROUND_S).not_done:
                self._injector.tick()
            ended.result()

    def observations(self, consumer: Consumer) -> None:
        """Processes the graphs and verdicts of this run, and the schedules, that lie on the log by now.

        Raises:
            Retryable: the broker is busy; what was not handed on yet is at the next call.
        """
        if not self._observations:
            self._observations.extend(consumer.consume(_MOST_OBSERVATIONS, 0.0))
        while self._observations:
            self._observe(self._observations[0])
            self._observations.popleft()

    def _observe(self, message: Message) -> None:
        if message.topic == self._schedules_topic:
            self._scheduler.handle(message)
        elif message.topic == self._graph_topic:
            graph = self._decoded(ServiceGraph, message)
            if graph is not None and self._is_ours(graph.run_id):
                self._injector.observe_graph(graph)
        else:
            verdict = self._verdict(message)
            if verdict is not None and self._is_ours(verdict.run_id):
                self._injector.observe_verdict(verdict)

    def _is_ours(self, run_id: str) -> bool:
        return self._run_id in ("", run_id)

    def _verdict(self, message: Message) -> FaultVerdict | None:
        """The verdict among what was measured; who labels windows dead-letters what can't be read."""
        if message.value is None:
            return None
        try:
            record = decode(message.value)
        except SchemaError as error:
            RECORDS_TOTAL.labels(_SERVICE, FAULT_EFFECTS, "rejected").inc()
            logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)
            return None
        if not isinstance(record, FaultVerdict):
            return None
        RECORDS_TOTAL.labels(_SERVICE, FAULT_EFFECTS, "in").inc()
        return record

    def _decoded(self, record_type: type[RecordT], message: Message) -> RecordT | None:
        try:
            record = decode_as(record_type, message.value or b"")
        except SchemaError as error:
            self._dead_letters.reject(message, str(error))
            RECORDS_TOTAL.labels(_SERVICE, message.topic, "rejected").inc()
            return None
        RECORDS_TOTAL.labels(_SERVICE, message.topic, "in").inc()
        return record
