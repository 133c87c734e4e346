"""The loop that works on evaluation tasks, in a thread of its own, so that it never waits for the board."""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from microservo.adapters.broker import Broker, Consumer, Partition
from microservo.errors import MicroServoError, Retryable
from microservo.log.evaluation_tasks import TOPICS
from microservo.log.publisher import Publisher
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from
from microservo.retry import retry
from microservo.runtime.loop import consume_loop
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from microservo.supervision.environment_build import pip_variables
from microservo.supervision.supervisor import Supervisor
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.task_processes import Processes, TaskProcesses, remove_leftovers
from services.evaluator.tasks import TaskKeeper

logger = logging.getLogger(__name__)

IDLE_S = 0.2
"""Between two looks at what processes do."""
COMPANY_S = 0.01
LINGER_MS = 0


class TaskLoop:
    """Works on evaluation tasks as long as its block lasts.

    Args:
        settings: of the evaluator.
        shutdown: of the evaluator, which is asked for if this can't go on.
        broker: where tasks are.
        clock: epoch microseconds UTC.
        processes: starts the processes of tasks; a supervisor of its own if not given.
    """

    def __init__(
        self,
        settings: EvaluatorSettings,
        shutdown: Shutdown,
        *,
        broker: Broker,
        clock: Callable[[], int],
        processes: Processes | None = None,
    ) -> None:
        self._settings = settings
        self._shutdown = shutdown
        self._broker = broker
        self._clock = clock
        self._given = processes
        self._pulse = Pulse()
        self._error: BaseException | None = None

    def is_alive(self) -> bool:
        """Whether it goes on, or is to end."""
        return self._shutdown.requested or self._pulse.is_alive()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs it in a thread; at the end of the block the evaluator must have been asked to end.

        Raises:
            MicroServoError: what it had to stop at.
        """
        thread = threading.Thread(target=self._guarded, name="evaluation-tasks", daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if self._error is not None:
            raise self._error

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:
            # Raised where the evaluator ends: a restart may mend it.
            self._error = error
            self._shutdown.request()

    def _run(self) -> None:
        with ExitStack() as stack:
            producer = stack.enter_context(self._broker.producer(linger_ms=LINGER_MS))
            folder = stack.enter_context(_folder(self._settings.tasks_folder))
            processes = self._given or stack.enter_context(Supervisor())
            # A process that is started anew is another one: what the one before it said is not its own.
            holder = f"evaluator-{secrets.token_hex(6)}"
            keeper = TaskKeeper(
                TaskProcesses(folder, holder, processes, pip_variables()),
                Publisher(producer, "evaluator", prefix=self._settings.topic_prefix, clock=self._clock),
                holder=holder,
                clock=self._clock,
            )

            def keep_house() -> None:
                self._pulse.beat()
                keeper.advance()

            stack.callback(_close, keeper)
            consumer = retry(lambda: self._caught_up(keeper), wait=self._shutdown.wait)
            consume_loop(
                consumer,
                keeper.handle,
                shutdown=self._shutdown,
                timeout_s=COMPANY_S,
                idle_s=IDLE_S,
                on_idle=keep_house,
                commit=False,
            )

    def _caught_up(self, keeper: TaskKeeper) -> Consumer:
        """A consumer that goes on behind what was read: what is over must not be begun first.

        Raises:
            InvalidInput: a topic is missing.
            Retryable: the broker is away for now.
        """
        ends: dict[Partition, int] = {}
        for topic in TOPICS:
            with self._broker.consumer(group_id=None) as reader:
                ranges = ranges_from(reader, self._settings.topic(topic))
                keeper.handle(list(read_ranges(reader, ranges, compacted=True)))
            ends |= {partition: end for partition, (_, end) in ranges.items()}
        consumer = self._broker.consumer(group_id=None)
        consumer.assign(ends)
        return consumer


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """A folder for what processes write; code in it is read by other users, behind a fence."""
    if given is None:
        with tempfile.TemporaryDirectory(prefix="microservo-tasks-", ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o755)
            yield Path(name)
        return
    given.mkdir(parents=True, exist_ok=True)
    remove_leftovers(given)
    yield given


def _close(keeper: TaskKeeper) -> None:
    try:
        keeper.close()
    except Retryable as error:
        logger.warning("tasks could not be given back (%s); others take them over", error)
    except MicroServoError:
        logger.exception("tasks could not be given back")
