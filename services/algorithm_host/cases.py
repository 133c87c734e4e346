"""Cases in; root causes or classes of failures out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from microservo.adapters.broker import Message
from microservo.algorithms import session as sessions
from microservo.algorithms.casework import Casework, case_sha256
from microservo.domain.system_rows import SystemRows
from microservo.errors import AlgorithmEnded, AlgorithmFailed, BadAnswer, DeadlineExceeded
from microservo.log.feature_windows import Received
from schemas.records import AlgorithmDeployment, Case, FailureClass, RootCause, ServiceGraph
from services.algorithm_host.outbox import Outbox
from services.algorithm_host.states import States


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A case whose windows are not all there yet."""

    case: Case
    message: Message


class CaseHost:
    """Has a ranker or classifier asked about each case once, when the windows up to it are there.

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
        self._waiting: list[_Waiting] = []
        self._seen: set[str] = set()
        self._next_case = 0

    def add_windows(self, received: Sequence[Received]) -> None:
        """Adds windows, in order of time as far as those of one service are concerned."""
        for each in received:
            self._rows.add(each.window, each.message.partition)

    def add_graph(self, graph: ServiceGraph) -> None:
        """Adds who called whom."""
        self._casework.add_graph(graph)

    def add_case(self, case: Case, message: Message) -> None:
        """Adds a case; one that was published twice counts once."""
        if case.case_id not in self._seen:
            self._seen.add(case.case_id)
            self._waiting.append(_Waiting(case=case, message=message))

    def answer(self, *, is_live: bool) -> None:
        """Asks about the cases that are ready, and publishes the answers.

        Raises:
            AlgorithmEnded, BadAnswer, DeadlineExceeded: the algorithm has to be started anew.
            Retryable: the broker is busy; call it again.
        """
        while self._waiting and self._casework.is_ready(self._waiting[0].case):
            self._answer(self._waiting[0], is_live=is_live)
            self._waiting.pop(0)
        self._outbox.send({})

    def _answer(self, waiting: _Waiting, *, is_live: bool) -> None:
        shown = self._casework.case(waiting.case)
        answered = self._reply(waiting.case, shown)
        now_us = self._clock()
        latency_us = max(0, now_us - waiting.message.timestamp_us)
        self._outbox.add(answered(now_us, latency_us))
        self._states.count(1, {}, (latency_us,) if is_live else ())

    def _reply(
        self, case: Case, shown: sessions.Case | None
    ) -> Callable[[int, int], RootCause | FailureClass]:
        reason = "" if shown is not None else "there are too few windows before it"
        sha256 = "" if shown is None else case_sha256(shown)
        ranking, classes = None, dict[str, float]()
        cpu_us = 0
        if shown is not None:
            try:
                if self._deployment.task == "ranker":
                    ranking = self._session.rank(shown)
                    cpu_us = ranking.cpu_us
                else:
                    classes = self._session.classify(shown, case.service)
            except (AlgorithmEnded, BadAnswer, DeadlineExceeded):
                raise
            except AlgorithmFailed as error:
                # A case that it fails at is one that it has no answer to.
                reason = str(error)
        common = {
            "run_id": case.run_id,
            "case_id": case.case_id,
            "algorithm": self._deployment.algorithm,
            "algorithm_version": self._deployment.version,
            "reason": reason,
            "input_sha256": sha256,
            "cpu_us": cpu_us,
        }
        if self._deployment.task == "ranker":
            ranks = () if ranking is None else ranking.services
            candidates = 0 if shown is None else len(shown.features)
            return lambda now_us, latency_us: RootCause(
                **common, ranks=ranks, candidates=candidates, ranked_at_us=now_us, latency_us=latency_us
            )
        kinds = tuple(sorted(classes))
        probabilities = tuple(classes[kind] for kind in kinds)
        return lambda now_us, latency_us: FailureClass(
            **common,
            kinds=kinds,
            probabilities=probabilities,
            classified_at_us=now_us,
            latency_us=latency_us,
        )
