"""The life of a ranker or classifier: each case, shown when the windows up to it are there."""

from __future__ import annotations

from collections.abc import Sequence

from microservo.adapters.broker import Message, Partition
from microservo.algorithms.casework import Casework
from microservo.algorithms.running import Running
from microservo.algorithms.training import read_training
from microservo.domain.system_rows import SystemRows
from microservo.log.feature_windows import Received
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from
from schemas.catalogue import ALGORITHM_FILES, CASES, EXPERIMENTS, SERVICE_GRAPH
from schemas.codec import SchemaError, decode
from schemas.records import Case, Experiment, ServiceGraph
from services.algorithm_host.cases import CaseHost
from services.algorithm_host.life import Life, Surroundings

_MARGIN_US = 300_000_000
"""Beyond what is shown of a case, windows are kept so long: those of the past come many at a time."""


class CaseLife(Life):
    """What a ranker's or classifier's host does while one process of it lives; arguments as of `Life`."""

    def __init__(self, around: Surroundings, running: Running) -> None:
        super().__init__(around, running)
        history_us = round(around.settings.case_history_s * 1e6)
        self._rows = rows = SystemRows(history_us + _MARGIN_US)
        rows.declare_gone(self.run.gone)
        self._host = CaseHost(
            around.deployment,
            session=running.session,
            casework=Casework(running.session.declaration, rows, history_us),
            rows=rows,
            outbox=around.outbox,
            states=around.states,
            clock=around.clock,
        )

    def recall(self) -> dict[int, int]:
        """Teaches it what it was deployed with, if anything; it learns nothing from a run.

        Raises:
            InvalidInput, InvalidMessage: it can't be taught by that.
        """
        topic = self.around.topic(ALGORITHM_FILES)
        folder = self.around.settings.algorithm_folder
        training = read_training(self.around.deployment, self.around.broker, topic, folder)
        if training is not None:
            training.teach(self.running.session, self.run.run_id)
        return {}

    def follow_besides(self) -> dict[Partition, int]:
        ends: dict[Partition, int] = {}
        for topic in (EXPERIMENTS, SERVICE_GRAPH, CASES):
            with self.around.broker.consumer(group_id=None) as consumer:
                ranges = ranges_from(consumer, self.around.topic(topic))
                for message in read_ranges(consumer, ranges, compacted=True):
                    self.take_other(message)
            ends |= {partition: end for partition, (_, end) in ranges.items()}
        return ends

    def take(self, received: Sequence[Received], *, is_live: bool) -> None:
        self._host.add_windows(received)
        self._host.answer(is_live=is_live)

    def take_other(self, message: Message) -> None:
        """A case, who called whom, or that a service is gone."""
        if message.value is None or message.header("run") not in (None, self.run.run_id.encode()):
            return
        try:
            record = decode(message.value)
        except SchemaError as error:
            self.around.dead_letters.reject(message, str(error))
            return
        if isinstance(record, Case) and record.run_id == self.run.run_id:
            self._host.add_case(record, message)
        elif isinstance(record, ServiceGraph) and record.run_id == self.run.run_id:
            self._host.add_graph(record)
        elif isinstance(record, Experiment) and record.run_id == self.run.run_id:
            self._rows.declare_gone(record.gone)

    def keep_house(self) -> None:
        self._host.answer(is_live=True)

    def remember(self) -> None:
        """It learns nothing from a run."""
