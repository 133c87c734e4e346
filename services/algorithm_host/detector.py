"""Windows in; scores, alarms and cases out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from microservo.algorithms.answers import Speaker
from microservo.algorithms.detecting import Detecting, Scored
from microservo.domain import alarms
from microservo.log.feature_windows import Received
from microservo.runtime.metrics import SCORES_TOTAL, STAGE_LATENCY_SECONDS
from schemas.records import AlgorithmDeployment
from services.algorithm_host.outbox import Outbox
from services.algorithm_host.states import States

SILENT_WINDOWS = 256
"""Of all services together without a score in a row: then it is said. A warm-up may take that long."""


class DetectorHost:
    """Has windows scored and publishes what comes of each once.

    Args:
        deployment: what runs.
        run_id: in which run.
        detecting: scores and decides.
        outbox: takes scores, alarms and cases.
        states: counts windows and latencies.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        deployment: AlgorithmDeployment,
        run_id: str,
        *,
        detecting: Detecting,
        outbox: Outbox,
        states: States,
        clock: Callable[[], int],
    ) -> None:
        self._algorithm = deployment.algorithm
        self._speaker = Speaker(deployment=deployment, run_id=run_id)
        self._detecting = detecting
        self._outbox = outbox
        self._states = states
        self._clock = clock
        self._not_ready = 0
        """Windows in a row without a score."""
        self._was_ready = False
        self._complaint = ""
        self.next_offsets: dict[int, int] = {}
        """By partition, the first message that was not taken yet."""

    @property
    def is_complaining(self) -> bool:
        """Whether its state says that it gives no scores."""
        return bool(self._complaint)

    def take(self, received: Sequence[Received], *, is_live: bool) -> None:
        """Has the windows scored that are new to it, and publishes what was not published before.

        Args:
            received: in order of time, as far as windows of one service are concerned.
            is_live: whether they have just come; of others the latency says nothing.

        Raises:
            AlgorithmFailed: the algorithm has to be started anew.
            Retryable: the broker is busy; give it the same again.
        """
        taken = [each for each in received if not self._is_taken(each)]
        known = [each for each in taken if self._is_published(each)]
        new = [each for each in taken if not self._is_published(each)]
        # What an earlier process published is only learned from: its scores and alarms would be the same.
        self._score(known)
        self._score(new, is_live=is_live, publishes=True)
        for each in taken:
            self.next_offsets[each.message.partition] = each.message.offset + 1
        self._outbox.send(self.next_offsets)

    def _is_taken(self, each: Received) -> bool:
        return each.message.offset < self.next_offsets.get(each.message.partition, 0)

    def _is_published(self, each: Received) -> bool:
        return self._outbox.is_published(each.message.partition, each.message.offset)

    def _score(self, received: Sequence[Received], *, is_live: bool = False, publishes: bool = False) -> None:
        if not received:
            return
        scored, decisions = self._detecting.take([(each.window, each.message.partition) for each in received])
        now_us = self._clock()
        came_us = {id(each.window): each.message.timestamp_us for each in received}
        newest_us = max(came_us.values())
        latencies_us = [max(0, now_us - came_us.get(id(each.window), newest_us)) for each in scored]
        if publishes:
            for each, latency_us in zip(scored, latencies_us, strict=True):
                self._outbox.add(self._speaker.score(each, now_us=now_us, latency_us=latency_us))
            for decision in decisions:
                self._add_decision(decision, now_us, max(0, now_us - newest_us))
            SCORES_TOTAL.labels(self._algorithm).inc(len(scored))
        for latency_us in latencies_us if is_live else ():
            STAGE_LATENCY_SECONDS.labels("score").observe(latency_us / 1e6)
        self._states.count(len(scored), self._detecting.counts, latencies_us if is_live else ())
        self._watch_readiness(scored)

    def _watch_readiness(self, scored: Sequence[Scored]) -> None:
        """Says of one that gives no score for long that it does not, and that it does again."""
        is_ready = [not math.isnan(each.score) for each in scored]
        if any(is_ready):
            self._was_ready, self._not_ready = True, 0
            if self._complaint and self._states.state.reason == self._complaint:
                self._states.change(reason="")
            self._complaint = ""
            return
        before, self._not_ready = self._not_ready, self._not_ready + len(scored)
        # The longer it lasts, the more seldom it is worth a word.
        if self._not_ready >= SILENT_WINDOWS and self._not_ready.bit_length() > before.bit_length():
            how = "has not been ready for the last" if self._was_ready else "was never ready in"
            self._complaint = (
                f"it {how} {self._not_ready} windows, each score was NaN; "
                "look whether the signals that it declares come, and how long it warms up"
            )
            self._states.change(reason=self._complaint)

    def _add_decision(self, decision: alarms.Decision, now_us: int, latency_us: int) -> None:
        self._outbox.add(self._speaker.alarm(decision.alarm, now_us=now_us, latency_us=latency_us))
        if decision.case is not None:
            self._outbox.add(self._speaker.case(decision.case, now_us=now_us))
