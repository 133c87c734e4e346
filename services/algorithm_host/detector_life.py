"""The life of a detector: scores, and the alarms and cases that follow."""

from __future__ import annotations

import time
from collections.abc import Sequence

from microservo.adapters.broker import Message, Partition
from microservo.algorithms.detecting import Detecting
from microservo.algorithms.running import Running
from microservo.domain.alarms import decider_of, fault_free_until_us
from microservo.domain.system_rows import SystemRows
from microservo.errors import AlgorithmRefused
from microservo.log.feature_windows import Received
from microservo.log.reader import positions
from schemas.catalogue import EXPERIMENTS
from schemas.codec import SchemaError, decode_as
from schemas.records import Experiment
from services.algorithm_host.detector import DetectorHost
from services.algorithm_host.life import Life, Surroundings
from services.algorithm_host.memory import Learned

REMEMBER_EACH_S = 60.0


class DetectorLife(Life):
    """What a detector's host does while one process of it lives; arguments as of `Life`."""

    def __init__(self, around: Surroundings, running: Running) -> None:
        super().__init__(around, running)
        self._decider = decider_of(around.deployment, self.run)
        keep_us = around.settings.history_windows * self.run.window_us
        self._rows = SystemRows(keep_us)
        self._rows.declare_gone(self.run.gone)
        self._detecting = Detecting(running.session, self._decider, self._rows)
        self._host = DetectorHost(
            around.deployment,
            self.run.run_id,
            detecting=self._detecting,
            outbox=around.outbox,
            states=around.states,
            clock=around.clock,
        )
        self._remembered_s = time.monotonic()

    def recall(self) -> dict[int, int]:
        learned = self.around.memory.learned()
        if learned is None:
            return {}
        try:
            self.running.session.restore(learned.algorithm)
        except AlgorithmRefused:
            return {}
        self._detecting.restore(learned.host)
        self._host.next_offsets.update(learned.next_offsets)
        return dict(learned.next_offsets)

    def follow_besides(self) -> dict[Partition, int]:
        # Read from its beginning: a record that changed since `read_run` must not be missed.
        with self.around.broker.consumer(group_id=None) as consumer:
            return positions(consumer, self.around.topic(EXPERIMENTS))

    def take(self, received: Sequence[Received], *, is_live: bool) -> None:
        self._host.take(received, is_live=is_live)

    def take_other(self, message: Message) -> None:
        """The run's record: a fault may have ended the fault-free time early, or a service is gone."""
        if message.key != self.run.run_id.encode() or message.value is None:
            return
        try:
            run = decode_as(Experiment, message.value)
        except SchemaError:
            return
        self._decider.end_fault_free(fault_free_until_us(run))
        self._rows.declare_gone(run.gone)

    def keep_house(self) -> None:
        threshold = self._decider.threshold
        if threshold is not None:
            self.around.states.change(thresholds={**threshold.by_service, "": threshold.other})
        self._say_what_the_threshold_is_worth()
        if time.monotonic() - self._remembered_s > REMEMBER_EACH_S:
            self.remember()

    def _say_what_the_threshold_is_worth(self) -> None:
        """Says that there is none, or from how little it comes, beside what else there is to say."""
        worth, reason = self._decider.why_none or self._decider.warning, self.around.states.state.reason
        if worth and worth not in reason and not self._host.is_complaining:
            self.around.states.change(reason=f"{reason}; {worth}" if reason else worth)

    def remember(self) -> None:
        self._remembered_s = time.monotonic()
        host = self._detecting.snapshot()
        if host is None or not self._host.next_offsets or not self.around.outbox.is_durable:
            return
        try:
            algorithm = self.running.session.snapshot()
        except AlgorithmRefused:
            # It will learn again from the log.
            return
        learned = Learned(next_offsets=self._host.next_offsets, host=host, algorithm=algorithm)
        self.around.memory.write_learned(learned)
