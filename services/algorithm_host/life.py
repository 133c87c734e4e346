"""One life of an algorithm's process: it learns what was, then follows what comes, until it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.algorithms.running import Running
from microservo.errors import AlgorithmEnded, InvalidMessage
from microservo.log.dead_letters import DeadLetters
from microservo.log.feature_windows import Received, past_windows, read_window
from microservo.runtime.loop import consume_loop, next_offsets
from microservo.runtime.metrics import RECORDS_TOTAL
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import FEATURE_WINDOWS
from schemas.records import AlgorithmDeployment, Experiment
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
        self._next: dict[Partition, int] = {}
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
        to_learn = sum(end - begin for begin, end in past.values())
        around.states.change(phase="learning", learned_windows=0, windows_to_learn=to_learn)
        others = self.follow_besides()
        begins = {partition.index: begin for partition, (begin, _) in past.items()}
        reached = dict(begins)
        for batch in _batches(past_windows(around.broker, past, self.run.run_id)):
            self.take(batch, is_live=False)
            reached.update({each.message.partition: each.message.offset + 1 for each in batch})
            around.states.change(learned_windows=sum(reached.values()) - sum(begins.values()))
            self._keep_house()
            if shutdown.requested:
                return
        around.states.change(phase="running", learned_windows=to_learn)
        self._next = {partition: end for partition, (_, end) in past.items()} | others
        consumer = follow(around.broker, self._next)
        consume_loop(
            consumer,
            lambda messages: self._handle(consumer, messages, shutdown),
            shutdown=shutdown,
            timeout_s=COMPANY_S,
            idle_s=IDLE_S,
            on_idle=self._keep_house,
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

    def _handle(self, consumer: Consumer, messages: Sequence[Message], shutdown: Shutdown) -> None:
        windows = self.around.topic(FEATURE_WINDOWS)
        others = [message for message in messages if message.topic != windows]
        for message in others:
            self.take_other(message)
        received, unreadable = self._read(message for message in messages if message.topic == windows)
        if _are_of_the_past(received):
            self._catch_up(consumer, windows, shutdown)
            self._next |= next_offsets(others)
            consumer.assign(self._next)
            return
        for message, reason in unreadable:
            self._reject(message, reason)
        self.take(received, is_live=True)
        self._next |= next_offsets(messages)

    def _catch_up(self, consumer: Consumer, topic: str, shutdown: Shutdown) -> None:
        """Takes the windows that have come by now as those of the past: all partitions in one order of time.

        A consumer gives one partition in large pieces, far ahead of others, and what is decided of a whole
        system would be decided without them.
        """
        around = self.around
        here = {partition: offset for partition, offset in self._next.items() if partition.topic == topic}
        ranges = {
            partition: (offset, consumer.offset_range(partition)[1]) for partition, offset in here.items()
        }
        for batch in _batches(past_windows(around.broker, ranges, self.run.run_id, reject=self._reject)):
            self.take(batch, is_live=True)
            self._keep_house()
            if shutdown.requested:
                return
        self._next |= {partition: end for partition, (_, end) in ranges.items()}

    def _read(self, messages: Iterable[Message]) -> tuple[list[Received], list[tuple[Message, str]]]:
        """The windows of messages, and those that can't be read, with the reason."""
        received, unreadable = [], []
        for message in messages:
            try:
                window = read_window(message, self.run.run_id)
            except InvalidMessage as error:
                unreadable.append((message, str(error)))
                continue
            if window is not None:
                received.append(Received(window=window, message=message))
        return received, unreadable

    def _reject(self, message: Message, reason: str) -> None:
        self.around.dead_letters.reject(message, reason)
        RECORDS_TOTAL.labels(SERVICE, FEATURE_WINDOWS, "rejected").inc()

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


def _are_of_the_past(received: Sequence[Received]) -> bool:
    """Whether more has come than the newest window of each service: the log is ahead."""
    services = [each.window.service for each in received]
    return len(set(services)) < len(services)


def _batches(received: Iterable[Received]) -> Iterator[list[Received]]:
    batch: list[Received] = []
    for each in received:
        batch.append(each)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
