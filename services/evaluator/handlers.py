"""What a run wrote in; evaluations and the oracle's cases out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from microservo.adapters.broker import Message, Partition
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.log.publisher import Publisher
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas import catalogue
from schemas.codec import SchemaError, decode
from schemas.records import Case, Evaluation

logger = logging.getLogger(__name__)

READ = (
    catalogue.EXPERIMENTS,
    catalogue.ALGORITHMS,
    catalogue.ALGORITHM_STATES,
    catalogue.SERVICE_FAULTS,
    catalogue.FAULT_EFFECTS,
    catalogue.LABELLED_WINDOWS,
    catalogue.ANOMALY_SCORES,
    catalogue.ALARMS,
    catalogue.CASES,
    catalogue.ROOT_CAUSES,
    catalogue.FAILURE_CLASSES,
)
"""Topics that are followed, by logical name."""
FLUSH_S = 10.0
_SERVICE = "evaluator"


class Handlers:
    """What the evaluator's loop does with messages, and with time.

    Args:
        run: gathers and judges.
        publisher: writes what is found.
        topic: the physical name of a topic of the contract.
        interval_us: between two updates of the board.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        run: RunEvaluation,
        *,
        publisher: Publisher,
        topic: Callable[[str], str],
        interval_us: int,
        clock: Callable[[], int],
    ) -> None:
        self._run = run
        self._publisher = publisher
        self._names = {topic(name): name for name in READ}
        self._interval_us = interval_us
        self._clock = clock
        self._updated_at_us = 0
        self._is_final = False
        self._published: dict[str, Evaluation] = {}
        self._outbox: deque[Case | Evaluation] = deque()
        self.next_offsets: dict[Partition, int] = {}
        """Of each partition that was read, the first message that was not handled yet."""

    def resume(self, evaluations: Iterable[Evaluation]) -> None:
        """Goes on from what earlier processes published; only what differs is published again."""
        for each in evaluations:
            self._published[each.evaluation_id] = each
            self._run.add(each)

    def handle(self, messages: Sequence[Message]) -> None:
        """Gathers what messages hold; what can't be read is logged and passed over."""
        for message in messages:
            try:
                self._gather(message)
            except SchemaError as error:
                logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)
                RECORDS_TOTAL.labels(_SERVICE, message.topic, "rejected").inc()
            self.next_offsets[Partition(message.topic, message.partition)] = message.offset + 1

    def advance(self, *, is_last: bool = False) -> None:
        """Updates the board if it is time, and returns once that is durable.

        Args:
            is_last: whether nothing more will come, so that it is time in any case.

        Raises:
            Retryable: the broker is busy; what was not published yet is at the next call.
        """
        now_us = self._clock()
        # A clock that was set back must not stop the board.
        if is_last or not 0 <= now_us - self._updated_at_us < self._interval_us:
            self._updated_at_us = now_us
            self._update(now_us)
        while self._outbox:
            self._publisher.publish(self._outbox[0])
            self._outbox.popleft()
        self._publisher.flush(FLUSH_S)

    @property
    def is_over(self) -> bool:
        """Whether the run is over, and all that it wrote was gathered."""
        run = self._run.run
        if run is None or run.status == "running":
            return False
        return all(
            offset >= run.end_offsets.get(f"{self._names[partition.topic]}/{partition.index}", 0)
            for partition, offset in self.next_offsets.items()
            if partition.topic in self._names
        )

    def _update(self, now_us: int) -> None:
        for case in self._run.oracle_cases(now_us=now_us):
            # It comes back from the log, where it counts no more.
            self._run.add(case)
            self._outbox.append(case)
        is_over = self.is_over
        if not self._run.changed and is_over == self._is_final:
            return
        self._is_final = is_over
        for evaluation in self._run.evaluations(
            at_us=now_us, cost="batch" if is_over else "live", is_final=is_over
        ):
            known = self._published.get(evaluation.evaluation_id)
            # NaN is unlike itself, but not its text.
            if known is None or repr(replace(known, updated_at_us=now_us)) != repr(evaluation):
                self._published[evaluation.evaluation_id] = evaluation
                self._outbox.append(evaluation)

    def _gather(self, message: Message) -> None:
        if message.value is None or message.header("run") not in (None, self._run.run_id.encode()):
            return
        record = decode(message.value)
        if isinstance(record, Read):
            self._run.add(record)
            RECORDS_TOTAL.labels(_SERVICE, message.topic, "in").inc()
