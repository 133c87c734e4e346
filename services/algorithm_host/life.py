"""One life of an algorithm's process: it learns what was, then follows what comes, until it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from microservo.adapters.broker import Broker, Message, Partition
from microservo.algorithms.running import Running
from microservo.errors import AlgorithmEnded, InvalidMessage
from microservo.log.dead_letters import DeadLetters
from microservo.log.feature_windows import Received, read_window
from microservo.log.ranges import Ranges
from microservo.log.window_order import WindowOrder
from microservo.runtime.loop import consume_loop
from microservo.runtime.metrics import RECORDS_TOTAL
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import FEATURE_WINDOWS
from schemas.records import AlgorithmDeployment, Experiment, FeatureWindow
from services.algorithm_host.feed import follow, past_of, read_run
from services.algorithm_host.memory import Memory
from services.algorithm_host.outbox import Outbox
from services.algorithm_host.settings import AlgorithmHostSettings
from services.algorithm_host.states import States

IDLE_S = 0.25
"""Between two rounds where no window comes."""
COMPANY_S = 0.005
"""A batch waits this long for company: a part of every score's latency."""
_BATCH = 200
SERVICE = "algorithm-host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all lives of a deployment share.

    Attributes:
        settings: of the host.
        deployment: what runs.
        broker: where everything is.
        outbox: takes what is published.
        memory: what earlier lives left.
        states: says how far it has come.
        dead_letters: take what can't be read.
        pulse: beats while it goes on.
        clock: epoch microseconds UTC.
    """

    settings: AlgorithmHostSettings
    deployment: AlgorithmDeployment
    broker: Broker
    outbox: Outbox
    memory: Memory
    states: States
    dead_letters: DeadLetters
    pulse: Pulse
    clock: Callable[[], int]

    def topic(self, name: str) -> str:
        """The physical name of a topic of the contract."""
        return self.settings.topic(name)


class Life(ABC):
    """What a host does while one process of its algorithm lives.

    Args:
        around: what it shares with other lives.
        running: the process, and the session to it, which is open.
    """

    def __init__(self, around: Surroundings, running: Running) -> None:
        self.around = around
        self.running = running
        self.run: Experiment = read_run(around.settings, around.broker)

    def live(self, shutdown: Shutdown) -> None:
        """Learns what was and follows what comes, until shutdown.

        Raises:
            AlgorithmFailed: the algorithm has to be started anew.
        """
        around = self.around
        next_offsets = self.recall()
        past = past_of(
            around.settings,
            around.broker,
            self.run,
            next_offsets,
            published=around.memory.published(),
            clock=around.clock,
        )
        self._past: Ranges = past
        self._shutdown = shutdown
        self._is_learning = True
        to_learn = sum(end - begin for begin, end in past.values())
        around.states.change(phase="learning", learned_windows=0, windows_to_learn=to_learn)
        begins = {partition: begin for partition, (begin, _) in past.items()}
        consumer = follow(around.broker, {**begins, **self.follow_besides()})
        self._order = WindowOrder(consumer, begins, window_us=self.run.window_us)
        self._say_how_far()
        consume_loop(
            consumer,
            self._handle,
            shutdown=shutdown,
            timeout_s=COMPANY_S,
            idle_s=IDLE_S,
            on_idle=self._go_on,
            commit=False,
        )
        self.remember()

    @abstractmethod
    def recall(self) -> dict[int, int]:
        """Goes on from what was learned; by partition, the first window that is not known yet."""

    @abstractmethod
    def follow_besides(self) -> dict[Partition, int]:
        """Reads what else there is by now, and says from where on to follow it."""

    @abstractmethod
    def take(self, received: Sequence[Received], *, is_live: bool) -> None:
        """Takes windows, and publishes what comes of them."""

    @abstractmethod
    def take_other(self, message: Message) -> None:
        """Takes a message of one of the other topics that are followed."""

    @abstractmethod
    def keep_house(self) -> None:
        """Is called after each round."""

    @abstractmethod
    def remember(self) -> None:
        """Puts away what was learned, where that can be done."""

    def _handle(self, messages: Sequence[Message]) -> None:
        windows = self.around.topic(FEATURE_WINDOWS)
        for message in messages:
            if message.topic != windows:
                self.take_other(message)
            elif not self._order.is_known(message):
                self._order.add(message, self._read(message))
        self._take_due()

    def _take_due(self) -> None:
        """Takes the windows whose turn has come, of what was and of what comes alike."""
        while not self._shutdown.requested and (batch := self._order.next_batch(_BATCH)):
            for is_past, some in groupby(batch, lambda each: self._is_past(each.message)):
                self.take(list(some), is_live=not is_past)
            self._order.done()
            self._say_how_far()
            self.around.pulse.beat()

    def _go_on(self) -> None:
        # What was held back may be due without another window: nothing came of the partition waited for.
        self._take_due()
        self._say_how_far()
        self._keep_house()

    def _is_past(self, message: Message) -> bool:
        """Whether a message lay on the log when this life began."""
        return message.offset < self._past[Partition(message.topic, message.partition)][1]

    def _say_how_far(self) -> None:
        """How much of what was is learned; it runs once that is all of it."""
        if not self._is_learning:
            return
        next_offsets = self._order.next_offsets
        learned = sum(min(next_offsets[at], end) - begin for at, (begin, end) in self._past.items())
        self._is_learning = learned < self.around.states.state.windows_to_learn
        phase = "learning" if self._is_learning else "running"
        self.around.states.change(phase=phase, learned_windows=learned)

    def _read(self, message: Message) -> FeatureWindow | None:
        try:
            return read_window(message, self.run.run_id)
        except InvalidMessage as error:
            # What was lies on the dead-letter topic since it was first met.
            if not self._is_past(message):
                self.around.dead_letters.reject(message, str(error))
                RECORDS_TOTAL.labels(SERVICE, FEATURE_WINDOWS, "rejected").inc()
            return None

    def _keep_house(self) -> None:
        self.around.pulse.beat()
        process = self.running.fenced
        if process.outcome is not None:
            raise AlgorithmEnded(process.outcome.reason)
        self.around.states.change(
            cpu_us=round(process.cpu_s() * 1e6), peak_memory_bytes=process.peak_memory_bytes()
        )
        self.keep_house()
        self.around.states.tick()
