"""Window in, score out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from microservo.adapters.broker import Message, Partition
from microservo.domain.detectors import DetectorBank, Watched
from microservo.errors import InvalidMessage
from microservo.log.dead_letters import DeadLetters
from microservo.log.publisher import Publisher
from microservo.runtime.metrics import RECORDS_TOTAL, SCORES_TOTAL, STAGE_LATENCY_SECONDS
from schemas.catalogue import FEATURE_WINDOWS
from schemas.records import AnomalyScore, FeatureWindow
from services.detector.windows import read_window

FLUSH_TIMEOUT_S = 10.0

Past = Callable[[Partition, int], Sequence[FeatureWindow]]
"""What a partition held before an offset, oldest first."""


@dataclass(slots=True)
class _Place:
    """How far one partition has been read, and the newest window of each service on it."""

    next_offset: int
    newest_us: dict[Watched, int] = field(default_factory=dict)

    def advance(self, window: FeatureWindow) -> bool:
        """Whether the window is newer than all before it; the log repeats some after a restart upstream."""
        watched = Watched(window.run_id, window.service)
        is_new = window.start_us > self.newest_us.get(watched, -1)
        if is_new:
            self.newest_us[watched] = window.start_us
        return is_new


class Scorer:
    """Scores batches of messages; a batch that is given again is neither learned nor scored again.

    Args:
        past: asked once per partition that is taken over.
        run_id: the run that counts; empty for every run.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        *,
        bank: DetectorBank,
        past: Past,
        publisher: Publisher,
        dead_letters: DeadLetters,
        algorithm: str,
        run_id: str,
        clock: Callable[[], int],
    ) -> None:
        self._bank = bank
        self._past = past
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._algorithm = algorithm
        self._run_id = run_id
        self._clock = clock
        self._places: dict[Partition, _Place] = {}
        self._outbox: list[AnomalyScore] = []

    def handle(self, batch: list[Message]) -> None:
        """Scores a batch and returns once the scores are durable.

        Raises:
            Retryable: the broker is busy; give the same batch again.
        """
        for message in batch:
            self._score_message(message)
        for score in self._outbox:
            self._publish(score)
        self._publisher.flush(FLUSH_TIMEOUT_S)
        self._outbox.clear()

    def release(self, partitions: Sequence[Partition]) -> None:
        """Forgets partitions that are, or were, another process's; they are learned afresh when they come."""
        for partition in partitions:
            place = self._places.pop(partition, None)
            for watched in place.newest_us if place else ():
                self._bank.forget(watched)

    def _score_message(self, message: Message) -> None:
        partition = Partition(message.topic, message.partition)
        if partition not in self._places:
            self._places[partition] = self._catch_up(partition, message.offset)
        place = self._places[partition]
        if message.offset < place.next_offset:
            return
        try:
            window = read_window(message, self._run_id)
        except InvalidMessage as error:
            self._dead_letters.reject(message, str(error))
            self._count("rejected")
            window = None
        if window is not None:
            self._judge(window, message, is_new=place.advance(window))
        place.next_offset = message.offset + 1

    def _catch_up(self, partition: Partition, offset: int) -> _Place:
        place = _Place(next_offset=offset)
        for window in self._past(partition, offset):
            if place.advance(window):
                self._bank.learn(window)
        return place

    def _judge(self, window: FeatureWindow, message: Message, *, is_new: bool) -> None:
        self._count("in")
        if not is_new:
            self._count("duplicate")
            return
        score = self._bank.score(window)
        scored_at_us = self._clock()
        self._outbox.append(
            AnomalyScore(
                run_id=window.run_id,
                service=window.service,
                start_us=window.start_us,
                end_us=window.end_us,
                revision=window.revision,
                algorithm=self._algorithm,
                score=score,
                scored_at_us=scored_at_us,
                # The broker keeps whole milliseconds, and its clock may be a little ahead of ours.
                latency_us=max(0, scored_at_us - message.timestamp_us),
            )
        )

    def _publish(self, score: AnomalyScore) -> None:
        self._publisher.publish(score)
        SCORES_TOTAL.labels(self._algorithm).inc()
        STAGE_LATENCY_SECONDS.labels("score").observe(score.latency_us / 1e6)

    def _count(self, outcome: str) -> None:
        RECORDS_TOTAL.labels("detector", FEATURE_WINDOWS, outcome).inc()
