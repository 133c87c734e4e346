"""One life of a detector's process: it learns what was, then follows what comes, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from microservo.adapters.broker import Broker, Message
from microservo.algorithms.detecting import Detecting
from microservo.algorithms.running import Running
from microservo.domain.alarms import AlarmDecider, Calibration, Threshold
from microservo.domain.system_rows import SystemRows
from microservo.errors import AlgorithmEnded, AlgorithmRefused, InvalidMessage
from microservo.log.dead_letters import DeadLetters
from microservo.log.feature_windows import Received, past_windows, read_window
from microservo.log.reader import positions
from microservo.runtime.loop import consume_loop
from microservo.runtime.metrics import RECORDS_TOTAL
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import EXPERIMENTS, FEATURE_WINDOWS
from schemas.codec import decode_as
from schemas.records import AlgorithmDeployment, Experiment
from services.algorithm_host.detector import DetectorHost
from services.algorithm_host.feed import follow, past_of, read_run
from services.algorithm_host.memory import Learned, Memory
from services.algorithm_host.outbox import Outbox
from services.algorithm_host.settings import AlgorithmHostSettings
from services.algorithm_host.states import States

POLL_S = 0.02
"""A batch waits this long for company: a part of every score's latency."""
REMEMBER_EACH_S = 60.0
_BATCH = 200
_SERVICE = "algorithm-host"


class DetectorLife:
    """What a detector's host does while one process of the algorithm lives.

    Args:
        settings: of the host.
        deployment: what runs.
        running: the process, and the session to it, which is open.
        broker: where windows are.
        outbox: takes what is published.
        memory: what earlier lives left.
        states: says how far it has come.
        dead_letters: take what can't be read.
        pulse: beats while it goes on.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        settings: AlgorithmHostSettings,
        deployment: AlgorithmDeployment,
        running: Running,
        *,
        broker: Broker,
        outbox: Outbox,
        memory: Memory,
        states: States,
        dead_letters: DeadLetters,
        pulse: Pulse,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._running = running
        self._broker = broker
        self._memory = memory
        self._states = states
        self._dead_letters = dead_letters
        self._pulse = pulse
        self._clock = clock
        self._run = read_run(settings, broker)
        self._decider = _decider(deployment, self._run)
        self._detecting = Detecting(
            running.session, self._decider, SystemRows(settings.history_windows * self._run.window_us)
        )
        self._host = DetectorHost(
            deployment,
            settings.run_id,
            detecting=self._detecting,
            outbox=outbox,
            states=states,
            clock=clock,
        )
        self._remembered_s = time.monotonic()

    def live(self, shutdown: Shutdown) -> None:
        """Learns what was and follows what comes, until shutdown.

        Raises:
            AlgorithmFailed: the algorithm has to be started anew.
        """
        self._recall()
        past = past_of(self._settings, self._broker, self._run, self._host.next_offsets, self._clock)
        self._states.change(phase="learning")
        for batch in _batches(past_windows(self._broker, past, self._settings.run_id)):
            self._host.take(batch, is_live=False)
            self._keep_house()
            if shutdown.requested:
                return
        self._states.change(phase="running", thresholds=self._thresholds())
        runs = self._settings.topic(EXPERIMENTS)
        with self._broker.consumer(group_id=None) as asked:
            ends = {partition: end for partition, (_, end) in past.items()} | positions(asked, runs)
        consume_loop(
            follow(self._broker, ends),
            self._handle,
            shutdown=shutdown,
            timeout_s=POLL_S,
            on_idle=self._keep_house,
            commit=False,
        )
        self._remember()

    def _handle(self, messages: Sequence[Message]) -> None:
        received = []
        for message in messages:
            if message.topic == self._settings.topic(EXPERIMENTS):
                self._update_run(message)
            elif (window := self._read(message)) is not None:
                received.append(window)
        self._host.take(received, is_live=True)

    def _read(self, message: Message) -> Received | None:
        try:
            window = read_window(message, self._settings.run_id)
        except InvalidMessage as error:
            self._dead_letters.reject(message, str(error))
            RECORDS_TOTAL.labels(_SERVICE, FEATURE_WINDOWS, "rejected").inc()
            return None
        return None if window is None else Received(window=window, message=message)

    def _update_run(self, message: Message) -> None:
        if message.key == self._settings.run_id.encode() and message.value is not None:
            run = decode_as(Experiment, message.value)
            self._decider.end_fault_free(run.fault_free_until_us or run.started_at_us)

    def _keep_house(self) -> None:
        self._pulse.beat()
        process = self._running.process
        if process.outcome is not None:
            raise AlgorithmEnded(process.outcome.reason)
        self._states.change(
            cpu_us=round(process.cpu_s() * 1e6),
            peak_memory_bytes=process.peak_memory_bytes(),
            thresholds=self._thresholds(),
        )
        self._states.tick()
        if time.monotonic() - self._remembered_s > REMEMBER_EACH_S:
            self._remember()

    def _thresholds(self) -> dict[str, float]:
        threshold = self._decider.threshold
        return {} if threshold is None else {**threshold.by_service, "": threshold.other}

    def _recall(self) -> None:
        """Goes on from what was learned, where there is anything and the algorithm takes it."""
        learned = self._memory.learned()
        if learned is None:
            return
        try:
            self._running.session.restore(learned.algorithm)
        except AlgorithmRefused:
            return
        self._detecting.restore(learned.host)
        self._host.next_offsets.update(learned.next_offsets)

    def _remember(self) -> None:
        """Puts away what was learned, where that can be done."""
        self._remembered_s = time.monotonic()
        host = self._detecting.snapshot()
        if host is None or not self._host.next_offsets:
            return
        try:
            algorithm = self._running.session.snapshot()
        except AlgorithmRefused:
            return
        self._memory.write_learned(
            Learned(next_offsets=self._host.next_offsets, host=host, algorithm=algorithm)
        )


def _decider(deployment: AlgorithmDeployment, run: Experiment) -> AlarmDecider:
    calibration = Calibration(alarms_per_hour=deployment.alarms_per_hour, window_us=run.window_us)
    own = deployment.threshold
    return AlarmDecider(
        deployment.algorithm,
        calibration=calibration,
        fault_free_until_us=run.fault_free_until_us or run.started_at_us,
        threshold=None if own is None else Threshold.fixed(own),
    )


def _batches(received: Iterable[Received]) -> Iterator[list[Received]]:
    batch: list[Received] = []
    for each in received:
        batch.append(each)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
