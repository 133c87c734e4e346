"""The injector on a broker in memory, with a platform that only pretends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from microservo.adapters.broker import Message
from microservo.domain.faults.base import Wire
from microservo.domain.faults.decider import Event
from microservo.errors import MicroServoError, Unavailable
from microservo.log.dead_letters import DeadLetters
from microservo.log.stamped import StampedWriter
from microservo.log.topics import topic_specs
from microservo.platforms.mechanism import Confirmation, Mechanism, Owned
from microservo.platforms.platform import Instance, InstanceChange, Meter
from microservo.testing import ManualClock, MemoryBroker
from schemas.codec import decode_as, encode
from schemas.records import FaultEvent, FaultRequest, FaultVerdict, ServiceFault
from services.fault_injector.fault_free import FaultFreeTime
from services.fault_injector.handlers import Handlers
from services.fault_injector.performing import Performable, Performer
from services.fault_injector.service import LOOK_BACK_US, WRITER, observations, scheduler_of, start
from services.fault_injector.settings import FaultInjectorSettings

# In the past, for the broker in memory stamps its messages by the wall clock.
NOW_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
PREFIX = "t-"


class FakePlatform:
    """Two instances of cart and one of front, which calls cart; every mechanism carries every kind."""

    name = "fake"

    def __init__(self, *mechanisms: FakeMechanism) -> None:
        self.mechanism = mechanisms[0]
        self.carriers = mechanisms
        self.listed = [instance("cart-0"), instance("cart-1"), instance("front-0")]

    def mechanisms(self, kind: str) -> Sequence[Mechanism]:
        return self.carriers

    def watch(self, on_change: Callable[[InstanceChange], None]) -> AbstractContextManager[None]:
        return nullcontext()

    def watch_faults(
        self, on_request: Callable[[FaultRequest], None], *, left: Mapping[str, str] = MappingProxyType({})
    ) -> AbstractContextManager[None]:
        return nullcontext()

    def force(self, instance: str, fault_id: str, kind: str) -> None:
        raise NotImplementedError

    def meter(self) -> Meter:
        raise NotImplementedError

    def instances(self) -> Sequence[Instance]:
        self.mechanism.require_target()
        return self.listed

    def edges(self) -> Iterable[tuple[str, str]]:
        return [("front", "cart"), ("loadgen", "front")]


def instance(name: str) -> Instance:
    return Instance(id=name, service=name.rpartition("-")[0], is_up=True, started_at_us=0)


class FakeMechanism:
    """Remembers what is in force; fails as set up.

    Attributes:
        active: (instance, fault id) in force.
        gone: instances that the target no longer has.
        has_target: False while no target runs.
        errors: what to raise instead of acting, by verb and instance; taken in order, None acts.
        log: every attempt, in order.
        count: of what was acted on, by confirmations and when asked.
    """

    def __init__(self, clock: ManualClock, name: str = "fake") -> None:
        self.name = name
        self._clock = clock
        self.active: set[tuple[str, str]] = set()
        self.gone: set[str] = set()
        self.has_target = True
        self.errors: dict[tuple[str, str], list[MicroServoError]] = {}
        self.log: list[tuple[str, str, str]] = []
        self.count: int | None = None

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        self._act("apply", instance, fault_id)
        self.active.add((instance, fault_id))
        return self._confirmed("in force")

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        self._act("recover", instance, fault_id)
        self.active.discard((instance, fault_id))
        return self._confirmed("the instance is gone" if instance in self.gone else "out of force")

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        self._act("holds", instance, fault_id)
        return (instance, fault_id) in self.active

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        self._act("count", instance, fault_id)
        return self.count if (instance, fault_id) in self.active else None

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        self._act("release", instance, "")
        found = [fault_id for name, fault_id in sorted(self.active) if name == instance]
        unowned = [fault_id for fault_id in found if fault_id not in owned()]
        self.active -= {(instance, fault_id) for fault_id in unowned}
        return unowned

    def attempts(self, verb: str) -> list[tuple[str, str]]:
        return [(instance, fault_id) for each, instance, fault_id in self.log if each == verb]

    def require_target(self) -> None:
        if not self.has_target:
            msg = "no target is running"
            raise Unavailable(msg)

    def _act(self, verb: str, instance: str, fault_id: str) -> None:
        self.require_target()
        self.log.append((verb, instance, fault_id))
        if waiting := self.errors.get((verb, instance)):
            raise waiting.pop(0)

    def _confirmed(self, evidence: str) -> Confirmation:
        self._clock.advance(10)
        return Confirmation(at_us=self._clock(), evidence=evidence, within_us=10, acted=self.count)


class StepWorkers:
    """Acts when events are asked for; what is `held` waits."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self.waiting: list[Performable] = []
        self.held = False

    def submit(self, action: Performable) -> None:
        self.waiting.append(action)

    def events(self) -> list[Event]:
        if self.held:
            return []
        actions, self.waiting = self.waiting, []
        return [event for action in actions if (event := self._performer.perform(action))]


@dataclass
class World:
    """What outlives an injector: the broker, the target, the clock."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_US))
    broker: MemoryBroker = field(default_factory=MemoryBroker)

    def __post_init__(self) -> None:
        self.mechanism = FakeMechanism(self.clock)
        self.target = FakePlatform(self.mechanism)
        self.broker.admin().ensure_topics(topic_specs(prefix=PREFIX, partitions=2))

    def put(self, topic: str, *values: bytes | None) -> None:
        """Puts messages on the first partition of a topic."""
        with self.broker.producer() as producer:
            for value in values:
                producer.send(PREFIX + topic, key=b"k", value=value, partition=0)
            producer.flush(10)

    def forget_states(self) -> None:
        """Deletes the states of all faults, as on a system from before there were any."""
        keys = {message.key for message in self.messages("faults")}
        with self.broker.producer() as producer:
            for key in keys:
                producer.send(f"{PREFIX}faults", key=key, value=None)
            producer.flush(10)

    def messages(self, topic: str) -> list[Message]:
        """All messages of a topic but heartbeats, partition after partition."""
        with self.broker.consumer(group_id=None) as consumer:
            positions = {partition: 0 for partition in consumer.partitions(PREFIX + topic)}
            consumer.assign(positions)
            wanted = sum(consumer.offset_range(partition)[1] for partition in positions)
            found = consumer.consume(wanted, 10) if wanted else []
        return [message for message in found if message.value is not None]

    def events(self, fault_id: str = "f-1") -> list[FaultEvent]:
        found = [decode_as(FaultEvent, message.value or b"") for message in self.messages("fault-events")]
        return sorted((each for each in found if each.fault_id == fault_id), key=lambda each: each.version)

    def states(self, fault_id: str = "f-1", instance: str = "cart-0") -> list[str]:
        """The states of an instance, and of the whole."""
        return [each.state for each in self.events(fault_id) if each.instance in ("", instance)]

    def faults(self, service: str, fault_id: str = "f-1") -> list[ServiceFault]:
        found = [decode_as(ServiceFault, message.value or b"") for message in self.messages("service-faults")]
        chosen = [each for each in found if (each.service, each.fault_id) == (service, fault_id)]
        return sorted(chosen, key=lambda each: each.version)


class Running:
    """One life of an injector in a world."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        given = {"topic_prefix": PREFIX, "run_id": "run-1", "target_state": Path("unused"), **settings}
        self.settings = FaultInjectorSettings(**given)
        self.producer = world.broker.producer()
        self.writer = StampedWriter(
            world.broker,
            f"{PREFIX}service-faults",
            writer=WRITER,
            run_id=lambda: "run-1",
            clock=world.clock,
            source="test",
        )
        self.injector = start(
            self.settings,
            broker=world.broker,
            producer=self.producer,
            writer=self.writer,
            platform=world.target,
            workers=self._workers,
            clock=world.clock,
        )
        self.scheduler = scheduler_of(self.settings, self.producer, world.clock)
        schedules = self.scheduler.catch_up(world.broker, self.settings.topic)
        self.handlers = Handlers(
            injector=self.injector,
            scheduler=self.scheduler,
            dead_letters=DeadLetters(self.producer, PREFIX),
            producer=self.producer,
            fault_free=FaultFreeTime(world.broker, run_id="run-1", clock=world.clock, topic_prefix=PREFIX),
            topic=self.settings.topic,
            run_id="run-1",
            clock=world.clock,
        )
        since_us = self.injector.observed_since_us(LOOK_BACK_US)
        self.observations = observations(self.settings, world.broker, since_us, schedules)

    def _workers(self, performer: Performer) -> StepWorkers:
        self.workers = StepWorkers(performer)
        return self.workers

    def ask(self, request: FaultRequest) -> Self:
        """Puts a request on its topic and lets it be handled."""
        self.handlers.requests(self.send(request))
        return self

    def send(self, request: FaultRequest) -> list[Message]:
        """Puts a request on its topic."""
        topic = self.settings.topic("fault-requests")
        sent: list[Message] = []
        self.producer.send(
            topic, key=request.fault_id.encode(), value=encode(request), on_delivery=sent.append
        )
        self.producer.flush(10)
        return sent

    def tick(self, times: int = 3) -> Self:
        """Some rounds of the loop, at one instant."""
        for _ in range(times):
            self.handlers.observations(self.observations)
            self.injector.tick()
            self.scheduler.tick()
            self.writer.tick()
        return self

    def see(self, name: str, state: Literal["up", "down"]) -> Self:
        """The platform says that an instance was started, or has ended."""
        self.injector.instance_changed(
            InstanceChange(instance=instance(name), state=state, at_us=self.world.clock())
        )
        return self.tick()

    def pass_s(self, seconds: float) -> Self:
        """Lets time pass, in steps of 50 ms."""
        for _ in range(round(seconds * 20)):
            self.world.clock.advance(50_000)
            self.tick(2)
        return self


def request(fault_id: str = "f-1", **changes: Any) -> FaultRequest:
    """Delays one of the two carts for ten seconds."""
    good = FaultRequest(
        fault_id=fault_id,
        action="inject",
        requested_at_us=NOW_US,
        kind="network-delay",
        service="cart",
        instances=("cart-0",),
        parameters={"latency": "300ms"},
        duration_us=10 * SECOND_US,
    )
    return replace(good, **changes)


def stop(fault_id: str = "f-1") -> FaultRequest:
    return FaultRequest(fault_id=fault_id, action="stop", requested_at_us=NOW_US)


def declaration(fault_id: str = "d-1", **changes: Any) -> FaultRequest:
    """Says that a deployment of front has been under way for five seconds."""
    good = FaultRequest(
        fault_id=fault_id,
        action="declare",
        requested_at_us=NOW_US,
        kind="deploy",
        service="front",
        start_at_us=NOW_US - 5 * SECOND_US,
        requested_by="ana",
    )
    return replace(good, **changes)


def verdict(version: int, **changes: Any) -> FaultVerdict:
    """What the observer says of the fault of `request`: confirmed so far."""
    confirmed = FaultVerdict(
        run_id="run-1",
        fault_id="f-1",
        service="cart",
        version=version,
        verdict="confirmed",
        effect_seen_at_us=NOW_US + 700,
        effect_seen_within_us=600,
        evidence="front: calls to cart went from 3 to 310 ms",
    )
    return replace(confirmed, **changes)


def message(topic: str, value: bytes | None, key: bytes = b"k") -> Message:
    return Message(
        topic=PREFIX + topic, partition=0, offset=0, timestamp_us=NOW_US, key=key, value=value, headers=()
    )
