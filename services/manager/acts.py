"""Publishes acts of placement in the run that goes on, from a thread of its own: no decision waits for a run.

::

    no run ─────► a run goes on ─────────► declared as a writer ────────► run is over, or this process ends
    only what     acts wait                what was open, what waited,    (it leaves the run)
    is open is                             and what comes; silence
    kept                                   carries heartbeats
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Self

from microservo.adapters.broker import Broker
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.errors import InvalidInput, MicroServoError, Retryable
from microservo.log.publisher import Publisher, source_of
from microservo.log.run_facts import newest_actions
from microservo.log.run_records import KnownRuns
from microservo.log.stamped import StampedWriter
from microservo.log.writers import GONE_AFTER_US, declare_writer, end_part
from microservo.runtime.log_limit import LogLimit
from schemas.catalogue import SERVICE_ACTIONS
from schemas.records import Experiment, ServiceAction

logger = logging.getLogger(__name__)

ROUND_S = 0.1
SETTLE_S = 2.0
"""By then an earlier process of this name has heard of this one, and ended: two must not write as one."""
_FOLLOW_US = 1_000_000
_FLUSH_S = 5.0
_LINGER_MS = 2
_TOLD = 10_000


class _Waiting(NamedTuple):
    """An act that is not durable yet, and when it was given (epoch microseconds UTC)."""

    given_us: int
    action: ServiceAction


class _Part(NamedTuple):
    """The part of this process in a run."""

    name: str
    writer: StampedWriter
    publisher: Publisher
    open: ExitStack


class ActionPublisher:
    """Takes acts from the thread of the manager, and publishes them from its own.

    Args:
        manager: name of the process: master, or that of a worker.
        run_id: the run that is written in; where it is empty, the one that goes on, of several the newest.
        topic_prefix: put before every topic name.
        reading: broker to read from.
        writing: broker to write to.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        manager: str,
        *,
        run_id: str,
        topic_prefix: str,
        reading: Broker,
        writing: Broker,
        clock: Callable[[], int],
    ) -> None:
        self._manager = manager
        self._wanted = run_id
        self._prefix = topic_prefix
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._limit = LogLimit()
        self._given: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._left_open: queue.SimpleQueue[ServiceAction] = queue.SimpleQueue()
        self._runs = KnownRuns(reading, topic_prefix, clock)
        self._followed_us = 0
        self._run_id = ""
        self._is_read = False
        """Whether acts that earlier lives left open in this run were looked for."""
        self._gone: set[str] = set()
        """Names under which this run can't be written in any more."""
        self._part: _Part | None = None
        self._open: dict[str, ServiceAction] = {}
        self._waiting: deque[_Waiting] = deque()
        self._sent = 0
        """How many of them were sent by this part already."""
        self._told: deque[_Waiting] = deque(maxlen=_TOLD)
        """The last that were durable."""
        self._ends = threading.Event()
        self._leaves = False
        self._thread = threading.Thread(target=self._body, name="acts of placement", daemon=True)

    def start(self) -> None:
        """Begins to follow runs."""
        self._thread.start()

    def publish(self, actions: Iterable[ServiceAction]) -> None:
        """Takes versions of acts, in their order; returns at once."""
        now_us = self._clock()
        for action in actions:
            self._given.put(_Waiting(now_us, action))

    def left_open(self) -> list[ServiceAction]:
        """Acts that an earlier life of this process left open in the run, once, when they were found."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._left_open.get_nowait())
        return found

    def leave(self, timeout_s: float) -> bool:
        """Publishes what was given and leaves the run; whether that was done within so many seconds."""
        self._leaves = True
        return self._end(timeout_s)

    def close(self) -> None:
        """Ends without another word: windows wait for this process until it is back, or retired."""
        self._end(_FLUSH_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _end(self, timeout_s: float) -> bool:
        self._ends.set()
        if self._thread.ident is None:
            self._runs.close()
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _body(self) -> None:
        with closing(self._runs):
            self._ends.wait(SETTLE_S)
            while not self._ends.wait(ROUND_S):
                self._attempt(self.advance)
            if self._leaves:
                self._attempt(self._say_goodbye)
            self._drop_part()

    def _attempt(self, act: Callable[[], None]) -> None:
        """Acts; after a failure for good it begins anew with what is not durable, under the same name."""
        try:
            act()
        except MicroServoError as error:
            if not isinstance(error, Retryable):
                self._drop_part()
            if (rest := self._limit.end_of_line(SERVICE_ACTIONS, type(error).__name__)) is not None:
                logger.warning("acts of placement wait to be published: %s%s", error, rest)
        except Exception:
            self._drop_part()
            logger.exception("acts of placement can't be published in a way that nobody thought of")

    def advance(self) -> None:
        """Finds out which run goes on if it is time, and publishes what was given; its own thread does so.

        Raises:
            InvalidInput: the broker has no topic of acts, or the run is over.
            Retryable: the broker is away for now; what is not durable is at the next call.
            Fatal: a message could not be delivered.
        """
        now_us = self._clock()
        if not 0 <= now_us - self._followed_us < _FOLLOW_US:
            self._runs.refresh()
            self._followed_us = now_us
            self._follow(now_us)
        self._take()
        if self._part is not None:
            self._send(self._part)
            self._part.writer.tick()

    def _follow(self, now_us: int) -> None:
        """Finds out which run goes on, and sees to it that this process has a part in it."""
        run = self._going_on()
        run_id = run.run_id if run is not None else ""
        if run_id != self._run_id:
            self._drop_part()
            self._run_id, self._is_read, self._gone = run_id, False, set()
            # Of what was done before it, windows of this run meet only what goes on.
            self._waiting = deque(_Waiting(now_us, each) for each in self._open.values() if run_id)
            self._told.clear()
        elif run is not None:
            self._come_back(run, now_us)
        if run is not None and self._part is None:
            self._part = self._join(run)

    def _come_back(self, run: Experiment, now_us: int) -> None:
        """After a long silence the run may go on without this process; it tells again what was refused."""
        if self._part is None or self._part.name not in _left(run):
            return
        self._drop_part()
        since_us = now_us - 2 * GONE_AFTER_US
        self._waiting.extendleft(reversed([each for each in self._told if each.given_us >= since_us]))
        self._told.clear()

    def _going_on(self) -> Experiment | None:
        running = self._runs.running()
        if self._wanted:
            return next((run for run in running if run.run_id == self._wanted), None)
        return max(running, key=lambda run: (run.started_at_us, run.run_id), default=None)

    def _join(self, run: Experiment) -> _Part:
        """Declares this process as a writer of the run; takes the ten seconds that it has to lie ahead."""
        if not self._is_read:
            for action in newest_actions(self._reading, self._prefix, run):
                if action.manager == self._manager and not action.is_final:
                    self._left_open.put(action)
            self._is_read = True
        name = self._free_name(run)
        from_us = declare_writer(
            self._writing,
            run_id=run.run_id,
            writer=name,
            topics=(SERVICE_ACTIONS,),
            process="manager",
            clock=self._clock,
            wait=self._ends.wait,
            topic_prefix=self._prefix,
            first_cut_us=NEVER_WAITS_US,
        )
        with ExitStack() as opening:
            writer = opening.enter_context(self._writer(name, run.run_id, from_us))
            producer = opening.enter_context(self._writing.producer(linger_ms=_LINGER_MS))
            publisher = Publisher(
                producer,
                "manager",
                prefix=self._prefix,
                clock=self._clock,
                writers={SERVICE_ACTIONS: writer},
            )
            return _Part(name, writer, publisher, opening.pop_all())

    def _writer(self, name: str, run_id: str, from_us: int) -> StampedWriter:
        try:
            return StampedWriter(
                self._writing,
                self._prefix + SERVICE_ACTIONS,
                writer=name,
                run_id=lambda: run_id,
                clock=self._clock,
                promise=self._promise,
                from_us=from_us,
                source=source_of("manager"),
                linger_ms=_LINGER_MS,
            )
        except InvalidInput:
            # An earlier life has left the run, and did not live to enter that into its record.
            self._gone.add(name)
            raise

    def _free_name(self, run: Experiment) -> str:
        """The name of this process as a writer: its own, and a number where it has left the run before."""
        gone = _left(run) | self._gone
        names = (f"manager-{self._manager}{f'/{number}' * (number > 1)}" for number in itertools.count(1))
        return next(name for name in names if name not in gone)

    def _promise(self) -> int:
        """Nothing that is older than this is still to come from here."""
        now_us = self._clock()
        return min(now_us, self._waiting[0].given_us) if self._waiting else now_us

    def _take(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                given = self._given.get_nowait()
                if given.action.is_final:
                    self._open.pop(given.action.decision_id, None)
                else:
                    self._open[given.action.decision_id] = given.action
                if self._run_id:
                    self._waiting.append(given)

    def _send(self, part: _Part) -> None:
        """Returns once all is durable; what another part had sent is sent again, and counts once."""
        if not self._waiting:
            return
        for _, action in itertools.islice(self._waiting, self._sent, None):
            part.publisher.publish(replace(action, run_id=self._run_id))
            self._sent += 1
        part.publisher.flush(_FLUSH_S, SERVICE_ACTIONS)
        self._told.extend(self._waiting)
        self._waiting.clear()
        self._sent = 0

    def _say_goodbye(self) -> None:
        """Leaves the run, if it still goes on: no window waits for this process then."""
        self._take()
        part = self._part
        if part is None:
            return
        self._send(part)
        self._runs.refresh()
        run = self._runs.get(self._run_id)
        if run is not None and run.status == "running":
            part.writer.leave()
            end_part(
                self._writing,
                run_id=self._run_id,
                writer=part.name,
                process="manager",
                clock=self._clock,
                topic_prefix=self._prefix,
            )

    def _drop_part(self) -> None:
        part, self._part, self._sent = self._part, None, 0
        if part is not None:
            # What could not be delivered waits, and is sent again.
            with contextlib.suppress(MicroServoError):
                part.open.close()


def _left(run: Experiment) -> set[str]:
    """Names of those that have told of acts in a run and left it."""
    return {
        each.writer for each in run.writers if each.topic == SERVICE_ACTIONS and each.until_us is not None
    }
