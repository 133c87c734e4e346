"""Cases in; root causes or classes of failures out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from microservo.adapters.broker import Message
from microservo.algorithms import session as sessions
from microservo.algorithms.answers import TOO_FEW, Moment, Speaker
from microservo.algorithms.casework import Casework
from microservo.domain.system_rows import SystemRows
from microservo.errors import AlgorithmEnded, AlgorithmFailed, BadAnswer, DeadlineExceeded
from microservo.log.feature_windows import Received
from schemas.records import AlgorithmDeployment, Case, ServiceGraph
from services.algorithm_host.outbox import Outbox
from services.algorithm_host.states import States

_BROKEN = (AlgorithmEnded, BadAnswer, DeadlineExceeded)
"""After these its process has to be started anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A case that was not answered yet, and its message."""

    case: Case
    message: Message


class CaseHost:
    """Has a ranker or classifier asked about each case once, when the windows up to it are there.

    A case that it fails at is answered with the reason, and never asked again.

    Args:
        deployment: what runs.
        session: to the algorithm.
        casework: makes what it is shown.
        rows: gathers the windows of all services.
        outbox: takes what it says.
        states: counts cases and latencies.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        deployment: AlgorithmDeployment,
        *,
        session: sessions.Session,
        casework: Casework,
        rows: SystemRows,
        outbox: Outbox,
        states: States,
        clock: Callable[[], int],
    ) -> None:
        self._deployment = deployment
        self._session = session
        self._casework = casework
        self._rows = rows
        self._outbox = outbox
        self._states = states
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._seen: set[str] = set()
        self._next_offsets: dict[int, int] = {}

    def add_windows(self, received: Sequence[Received]) -> None:
        """Adds windows, in order of time as far as those of one service are concerned."""
        for each in received:
            self._rows.add(each.window, each.message.partition)

    def add_graph(self, graph: ServiceGraph) -> None:
        """Adds who called whom."""
        self._casework.add_graph(graph)

    def add_case(self, case: Case, message: Message) -> None:
        """Adds a case; one that was answered before, or comes a second time, counts no more."""
        is_known = case.case_id in self._seen
        self._seen.add(case.case_id)
        if not is_known and not self._outbox.is_published(message.partition, message.offset):
            self._waiting.append(_Waiting(case=case, message=message))

    def answer(self, *, is_live: bool) -> None:
        """Asks about the cases that are ready, in the order in which they came, and publishes the answers.

        Raises:
            AlgorithmEnded, BadAnswer, DeadlineExceeded: the algorithm has to be started anew.
            Retryable: the broker is busy; call it again.
        """
        while self._waiting and self._casework.is_ready(self._waiting[0].case):
            waiting = self._waiting.popleft()
            self._next_offsets[waiting.message.partition] = waiting.message.offset + 1
            try:
                self._answer(waiting, is_live=is_live)
            except _BROKEN as error:
                self._publish_failure(waiting, str(error))
                self._outbox.send(self._next_offsets)
                raise
        self._outbox.send(self._next_offsets)

    def _answer(self, waiting: _Waiting, *, is_live: bool) -> None:
        shown = self._casework.case(waiting.case)
        if shown is None:
            self._publish_failure(waiting, TOO_FEW)
            return
        try:
            speaker = self._speaker(waiting)
            self._outbox.add(speaker.answer(self._session, waiting.case, shown, self._moment(waiting)))
        except _BROKEN:
            raise
        except AlgorithmFailed as error:
            self._publish_failure(waiting, str(error), shown)
        latency_us = max(0, self._clock() - waiting.message.timestamp_us)
        self._states.count(1, {}, (latency_us,) if is_live else ())

    def _publish_failure(self, waiting: _Waiting, reason: str, shown: sessions.Case | None = None) -> None:
        speaker, moment = self._speaker(waiting), self._moment(waiting)
        self._outbox.add(speaker.failure(self._session, waiting.case, reason, moment, shown))

    def _speaker(self, waiting: _Waiting) -> Speaker:
        return Speaker(deployment=self._deployment, run_id=waiting.case.run_id)

    def _moment(self, waiting: _Waiting) -> Moment:
        return Moment(came_us=waiting.message.timestamp_us, clock=self._clock)
