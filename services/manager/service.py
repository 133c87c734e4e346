"""The process: it reads to the end of what is known, adopts what runs, and decides from then on."""

from __future__ import annotations

import contextlib
import importlib
import logging
import queue
from collections.abc import Callable
from contextlib import ExitStack, closing

from microservo.adapters.broker import Broker, Consumer, Message
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.manager import events
from microservo.domain.manager.accounting import Accounts
from microservo.domain.manager.state import COMMANDS_KEPT, SystemState
from microservo.errors import Fatal, InvalidInput, Retryable, Unavailable
from microservo.log.dead_letters import DeadLetters
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from, read_state, tail
from microservo.log.resending import ResendingPublisher
from microservo.platforms.driver import Driver
from microservo.retry import retry
from microservo.runtime.health import HealthServer
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.looking import Looking
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from microservo.sources.prometheus.api import PrometheusApi
from microservo.sources.prometheus.settings import PrometheusSettings
from schemas.catalogue import CONTROL_COMMANDS, CONTROL_EVENTS, MANAGER_HEARTBEATS, SYSTEM_STATE
from schemas.codec import SchemaError, decode_as
from schemas.records import ControlEvent, ManagerHeartbeat
from services.manager.absent import AbsentHosts
from services.manager.acts import ActionPublisher
from services.manager.inbox import FOLLOWED, Inbox, life_header
from services.manager.manager import Manager
from services.manager.orphans import Orphans
from services.manager.performing import Performer, Told
from services.manager.queries import ASK_S, FieldQueries
from services.manager.settings import ManagerSettings
from services.manager.shared import SharedState, later_life
from services.manager.watching import Watcher

logger = logging.getLogger(__name__)

_BATCH = 500
_IDLE_S = 0.05
_TICK_US = 1_000_000
_STILL_US = 2_000_000
"""A process that did nothing for so long was paused, or its machine was; others may have replaced it."""
_GIVE_UP_S = 5.0
"""After so long a producer gives a message up, and gets a successor; it must not hold up decisions."""
_STOP_S = 30.0
"""Within so long all that was started is stopped at an orderly end."""
_LEAVE_S = 15.0
"""Within so long its last acts are published then, and the run is left."""


def run(
    settings: ManagerSettings,
    shutdown: Shutdown,
    *,
    driver: Driver | None = None,
    broker: Broker | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Manages until shutdown; what was started is stopped then.

    Raises:
        InvalidInput: a topic is missing, no driver is named, or there is no such policy.
        Fatal: a later process of the same name manages.
    """
    reading = broker or KafkaBroker(settings.kafka)
    give_up = {"delivery_timeout_s": min(_GIVE_UP_S, settings.kafka.delivery_timeout_s)}
    writing = broker or KafkaBroker(settings.kafka.model_copy(update=give_up))
    driver = driver or _driver_of(settings)
    with ExitStack() as stack:
        pulse = Pulse()
        stack.enter_context(HealthServer(settings.health_port, pulse.is_alive))
        process = ManagerProcess(settings, driver, reading=reading, writing=writing, clock=clock, pulse=pulse)
        stack.enter_context(closing(process))
        process.run(shutdown)


class ManagerProcess:
    """A manager with its links to the log and to the driver; belongs to one thread.

    Args:
        settings: of the manager.
        driver: of hosts and containers.
        reading: broker to read from.
        writing: broker whose producers give up soon.
        clock: epoch microseconds UTC.
        pulse: beats while it goes on.
    """

    def __init__(
        self,
        settings: ManagerSettings,
        driver: Driver,
        *,
        reading: Broker,
        writing: Broker,
        clock: Callable[[], int],
        pulse: Pulse,
    ) -> None:
        self._settings = settings
        self._reading = reading
        self._clock = clock
        self._pulse = pulse
        self._limit = LogLimit()
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        name = settings.manager_name
        life_us = clock()
        self._shared = SharedState(name, clock, life_us=life_us)
        self._accounts = Accounts()
        self.manager = Manager(
            name,
            self._shared,
            life_us=life_us,
            clock=clock,
            policy=settings.manager_policy,
            seed=settings.manager_seed,
        )
        self._open = ExitStack()
        self._publisher = self._open.enter_context(
            closing(
                ResendingPublisher(
                    writing, process="manager", topic_prefix=settings.topic_prefix, clock=clock
                )
            )
        )
        state = self.manager.state
        self._performer = self._open.enter_context(
            Performer(
                driver,
                self._told,
                host_of=state.hosts.get,
                service_of=state.services.get,
                known_of=self._known_of,
            )
        )
        self._ask_prometheus(state)
        self._watcher = self._open.enter_context(Watcher(driver, self._told, forget=self._performer.forget))
        rejecting = self._open.enter_context(writing.producer())
        self._inbox = Inbox(
            name,
            self.manager.life_us,
            shared=self._shared,
            accounts=self._accounts,
            prefix=settings.topic_prefix,
            dead_letters=DeadLetters(rejecting, settings.topic_prefix),
            clock=clock,
        )
        self._acts = self._open.enter_context(
            ActionPublisher(
                name,
                run_id=settings.run_id,
                topic_prefix=settings.topic_prefix,
                reading=reading,
                writing=writing,
                clock=clock,
            )
        )
        self._next_command = 0
        self._ticked_us = 0
        self._went_on_us = 0
        self._orphans = Orphans()
        self._absent = AbsentHosts()
        self._may_have_new_hosts = False
        self._is_away = False

    def _ask_prometheus(self, state: SystemState) -> None:
        """Has fields with a query asked for, in a thread, until this process is closed."""
        if not self._settings.manager_prometheus:
            return
        api = PrometheusApi(PrometheusSettings(url=self._settings.manager_prometheus, timeout_s=ASK_S))
        queries = self._open.enter_context(closing(FieldQueries(api, state, self._told, self._clock)))
        self._open.enter_context(Looking(queries.ask, ASK_S, name="fields with a query"))

    def run(self, shutdown: Shutdown) -> None:
        """Catches up, then decides until shutdown."""
        consumer = retry(self._caught_up, wait=shutdown.wait, on_failure=self._log_away)
        with closing(consumer):
            self._adopt()
            self._acts.start()
            self._went_on_us = self._clock()
            while not shutdown.requested:
                self._pulse.beat()
                self._round(consumer.consume(_BATCH, _IDLE_S))
        self._end()

    def close(self) -> None:
        """Looks and does no more; what runs goes on."""
        self._open.close()

    def _known_of(self, name: str) -> str:
        return self._watcher.known_of(name)

    def _caught_up(self) -> Consumer:
        """Tells what is on the log, and returns a consumer that goes on behind it.

        Raises:
            InvalidInput: a topic is missing.
            Retryable: the broker is away for now.
        """
        topic, settings = self._settings.topic, self._settings
        lives = read_state(self._reading, topic(MANAGER_HEARTBEATS), ManagerHeartbeat)
        earlier = lives.get(settings.manager_name)
        self._begin_life(earlier)
        known = [
            _command_in(message) for message in tail(self._reading, topic(CONTROL_EVENTS), COMMANDS_KEPT)
        ]
        with self._reading.consumer(group_id=None) as consumer:
            ranges = ranges_from(consumer, topic(SYSTEM_STATE))
            commands = ranges_from(consumer, topic(CONTROL_COMMANDS))
            latest = {
                partition: end
                for name in FOLLOWED
                for partition, (_, end) in ranges_from(consumer, topic(name)).items()
            }
            for message in read_ranges(consumer, ranges, compacted=True):
                self._tell_message(message)
        now = self._clock()
        ids = tuple(dict.fromkeys(each for each in known if each))
        self.manager.tell_all([events.CommandsKnown(now_us=now, command_ids=ids)])
        positions = {partition: end for partition, (_, end) in ranges.items()} | latest
        for partition, (first, end) in commands.items():
            self._next_command = first if earlier is None else min(max(first, earlier.next_command), end)
            positions[partition] = self._next_command
        following = self._reading.consumer(group_id=None)
        following.assign(positions)
        return following

    def _begin_life(self, earlier: ManagerHeartbeat | None) -> None:
        """Says that this life began: what an earlier one writes behind that nobody takes.

        Raises:
            Retryable: the broker is away for now.
        """
        if earlier is not None:
            self.manager.begin_after(earlier.life_us)
        self._inbox.life_us = self.manager.life_us
        self._publisher.headers = life_header(self.manager.life_us)
        self._publisher.begin([self._shared.begin_life(self.manager.life_us)])
        self._publisher.finish()

    def _adopt(self) -> None:
        """Finds out what runs before anything is decided."""
        self._watcher.look()
        self._watcher.start()
        now = self._clock()
        self.manager.tell_all([events.CaughtUp(now_us=now)])
        self._drain()
        for host in self.manager.missing_hosts(self._watcher.up()):
            self.manager.tell_all(
                [events.HostDown(now_us=now, host=host, reason="the driver knows nothing of it")]
            )
        # Commands may be waiting, and nothing is placed on a host that was never measured.
        self.manager.tell_all(self._accounts.measured(self.manager.state, self._clock()))

    def _round(self, messages: list[Message]) -> None:
        topic = self._settings.topic
        self._check_alone()
        for message in messages:
            self._tell_message(message)
            if message.topic == topic(CONTROL_COMMANDS):
                self._next_command = message.offset + 1
        self._measure_new_hosts()
        self._drain()
        now = self._clock()
        if now >= self._ticked_us + _TICK_US:
            self._ticked_us = now
            self.manager.tell_all(self.manager.unheard(self._watcher.seen(), self._watcher.up()))
            absent = self.manager.absent_hosts(self._watcher.up())
            self.manager.tell_all(self._absent.found(absent, now))
            self._tell_orphans(now)
            self.manager.tell_all(self._accounts.measured(self.manager.state, now))
            self.manager.tell_all([events.TimePassed(now_us=now)])
            self._publish(is_at_end=True, heartbeat=self._heartbeat(now))
        else:
            self._publish(is_at_end=not any(each.topic == topic(SYSTEM_STATE) for each in messages))
        self._check_alone()
        for action in self.manager.to_do():
            self._performer.do(action)
        if left_open := self._acts.left_open():
            self.manager.resume_acts(left_open)
        self._acts.publish(self.manager.acts())

    def _check_alone(self) -> None:
        """Asks, if this process stood still for a while, whether another one has taken its place meanwhile.

        What it writes is refused by everybody then. But what it would have a driver do is not, so it is asked
        before that too. While the broker is away nobody knows, and it goes on, as one that is cut off shall.

        Raises:
            Fatal: there is a later life.
        """
        before_us, self._went_on_us = self._went_on_us, self._clock()
        if self._went_on_us < before_us + _STILL_US:
            return
        logger.warning("stood still for %.1f s", (self._went_on_us - before_us) / 1e6)
        try:
            lives = read_state(self._reading, self._settings.topic(MANAGER_HEARTBEATS), ManagerHeartbeat)
        except (Retryable, Unavailable) as error:
            self._log_away(error)
            return
        newest = lives.get(self._settings.manager_name)
        if newest is not None and newest.life_us > self.manager.life_us:
            raise Fatal(later_life(self._settings.manager_name))

    def _tell_orphans(self, now: int) -> None:
        seen, up = self._watcher.seen(), self._watcher.up()
        # Cut off from the log, this process can't know what others have recorded.
        unrecorded = {} if self._is_away else self.manager.unrecorded(seen, up)
        self.manager.tell_all(self._orphans.found(unrecorded, now))

    def _tell_message(self, message: Message) -> None:
        for event in self._inbox.read(message):
            is_host = isinstance(event, events.EntityChanged) and event.key.startswith("host/")
            self._may_have_new_hosts = self._may_have_new_hosts or is_host
            self.manager.tell(event)

    def _drain(self) -> None:
        """Tells what performer and watcher have to say."""
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._told.get_nowait()(self._clock())
                joins = isinstance(event, events.HostJoined)
                self._may_have_new_hosts = self._may_have_new_hosts or joins
                self.manager.tell(event)
        self._measure_new_hosts()

    def _measure_new_hosts(self) -> None:
        """Has hosts measured that have joined or were assigned to this process.

        What comes next may be about them, and nothing is placed on a host that was never measured.
        """
        if self._may_have_new_hosts:
            self._may_have_new_hosts = False
            self.manager.tell_all(self._accounts.measured(self.manager.state, self._clock()))

    def _publish(self, *, is_at_end: bool, heartbeat: ManagerHeartbeat | None = None) -> None:
        """Publishes what is new, once what was before is durable; while the broker is away, it waits."""
        self._shared.silent = self.manager.silent()
        try:
            self._publisher.finish()
            # State first: who reads that something was done finds it done.
            batch = [*self._shared.outgoing(is_at_end=is_at_end), *self.manager.records()]
            self._publisher.begin(batch if heartbeat is None else [*batch, heartbeat])
            self._publisher.finish()
        except Retryable as error:
            self._is_away = True
            self._log_away(error)
        else:
            self._is_away = False

    def _heartbeat(self, now: int) -> ManagerHeartbeat:
        return ManagerHeartbeat(
            name=self._settings.manager_name,
            life_us=self.manager.life_us,
            at_us=now,
            region=self._settings.manager_region,
            next_command=self._next_command,
            running=self.manager.managed(self._watcher.running()),
        )

    def _end(self) -> None:
        """Stops what was started, and says so."""
        self.manager.stop_all()
        for action in self.manager.to_do():
            self._performer.do(action)
        if not self._performer.wait_idle(_STOP_S):
            logger.warning("not all that was started is stopped within %g s", _STOP_S)
        self._drain()
        self._publish(is_at_end=True)
        self._acts.publish(self.manager.acts())
        if not self._acts.leave(_LEAVE_S):
            logger.warning(
                "the run is not left within %g s; `microservo runs retire-writer` does it", _LEAVE_S
            )

    def _log_away(self, error: Exception) -> None:
        if (rest := self._limit.end_of_line(SYSTEM_STATE, "away")) is not None:
            logger.warning("%s%s", error, rest)


def _driver_of(settings: ManagerSettings) -> Driver:
    """The driver that the settings name.

    Raises:
        InvalidInput: they name none, or there is none of that name.
    """
    module, _, name = settings.manager_driver.partition(":")
    if not module:
        msg = "no manager_driver is named; give module:function of what makes one from the managers' tag"
        raise InvalidInput(msg)
    try:
        made: Driver = getattr(importlib.import_module(module), name)(settings.manager_tag)
    except (ImportError, AttributeError) as error:
        msg = f"manager_driver {settings.manager_driver!r} can't be had: {error}; name module:function"
        raise InvalidInput(msg) from error
    return made


def _command_in(message: Message) -> str:
    """The command that an event is of; empty for none."""
    try:
        return decode_as(ControlEvent, message.value or b"").command_id
    except SchemaError:
        return ""
