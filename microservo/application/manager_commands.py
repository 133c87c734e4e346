"""What can be asked of the manager, and what it said and did."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from microservo.application.command import Command, Context
from microservo.application.given import user_name
from microservo.errors import InvalidInput, Unavailable
from microservo.log.subscription import Start, Subscription
from schemas.catalogue import CONTROL_EVENTS
from schemas.codec import SchemaError
from schemas.records import ControlAction, ControlCommand, ControlEvent, ControlState

ANSWER_S = 10.0
FINISHED: frozenset[ControlState] = frozenset({"done", "failed", "refused", "given_up"})
"""States after which nothing more comes of a decision."""
_FLUSH_S = 30.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a command.

    Attributes:
        command_id: of the command.
        events: what the manager said of it, in that order.
    """

    command_id: str
    events: tuple[ControlEvent, ...]

    @property
    def containers(self) -> tuple[str, ...]:
        """Names of the containers that it is about, each once."""
        return tuple(dict.fromkeys(event.container for event in self.events if event.container))

    @property
    def failure(self) -> ControlEvent | None:
        """The first event that says that something came to nothing."""
        return next((event for event in self.events if event.state in ("failed", "given_up")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveCommand(Command[Outcome]):
    """Asks the manager to do something.

    Attributes:
        action: what.
        entity: kind and id of what it is about.
        arguments: what it needs besides.
        document: of an entity that is written.
        answer_s: how many seconds to wait for the manager's answer.
        finish_s: how many seconds to wait, after the answer, for what was decided to be finished; 0 not to.
        command_id: identity; made up if not given. The same one is carried out once.
    """

    action: ControlAction
    entity: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    document: str = ""
    answer_s: float = ANSWER_S
    finish_s: float = 0.0
    command_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowControlEvents(Command[Iterator[ControlEvent]]):
    """Asks what the manager decided, and what came of it.

    Attributes:
        start: from when on.
        entity: kind and id of what alone is of interest; empty for all. Likewise `command_id`.
        follow: also what it will decide, without an end.
    """

    start: Start = "earliest"
    entity: str = ""
    command_id: str = ""
    follow: bool = False


def give_command(command: GiveCommand, context: Context) -> Outcome:
    """What the manager said of it.

    Raises:
        InvalidInput: the manager refuses it, and did nothing.
        Unavailable: no manager answers, or what was decided is not finished in time.
        Retryable: the broker is away for now.
    """
    connection = context.connection
    request = ControlCommand(
        command_id=command.command_id or f"{command.action}-{secrets.token_hex(6)}",
        entity=command.entity,
        action=command.action,
        requested_at_us=context.clock(),
        requested_by=user_name(),
        arguments=dict(command.arguments),
        document=command.document,
    )
    with Subscription(connection.broker, connection.topic(CONTROL_EVENTS), start="latest") as coming:
        _send(request, context)
        said = _answer(coming, request, command.answer_s)
        refused = next((event for event in said if event.state == "refused"), None)
        if refused is not None:
            raise InvalidInput(refused.reason)
        outcome = Outcome(command_id=request.command_id, events=tuple(said))
        if not command.finish_s:
            return outcome
        return _finished(coming, outcome, command.finish_s)


def follow_control_events(command: FollowControlEvents, context: Context) -> Iterator[ControlEvent]:
    """The events, oldest first; those that can't be read are passed over.

    Raises:
        InvalidInput: the broker has no topic of them.
        Retryable: the broker is away for now.
    """
    connection = context.connection
    topic = connection.topic(CONTROL_EVENTS)
    with Subscription(connection.broker, topic, start=command.start, until_end=not command.follow) as coming:
        for event in (received.record for received in coming):
            if not isinstance(event, ControlEvent):
                continue
            if command.entity in ("", event.entity) and command.command_id in ("", event.command_id):
                yield event


def _answer(coming: Subscription, request: ControlCommand, timeout_s: float) -> list[ControlEvent]:
    """What the manager says at once of a command: all of one instant, which it decides as a whole."""
    said: list[ControlEvent] = []
    deadline_s = time.monotonic() + timeout_s
    while not said or said[-1].at_us == said[0].at_us:
        received = coming.poll(_POLL_S)
        event = None if received is None else received.record
        if isinstance(event, ControlEvent) and _is_of(event, request.command_id, said):
            said.append(event)
        elif said and received is None:
            break
        elif time.monotonic() > deadline_s:
            msg = (
                f"no manager answered within {timeout_s:g} s to {request.action} of {request.entity}; "
                f"see that one runs; `microservo manage events --command {request.command_id}` tells"
            )
            raise Unavailable(msg)
    return said


def _is_of(event: ControlEvent, command_id: str, said: Sequence[ControlEvent]) -> bool:
    """Whether an event is of a command: it names it, or is about what others of it are about."""
    return event.command_id == command_id or event.entity in {each.entity for each in said}


def _finished(coming: Subscription, outcome: Outcome, timeout_s: float) -> Outcome:
    """The same with what came of each container, or of the app, that was decided about."""
    events = list(outcome.events)
    left = {event.entity for event in events}
    left -= {event.entity for event in events if event.state in FINISHED}
    deadline_s = time.monotonic() + timeout_s
    while left:
        received = coming.poll(_POLL_S)
        event = None if received is None else received.record
        if isinstance(event, ControlEvent) and _is_of(event, outcome.command_id, events):
            events.append(event)
            left -= {event.entity} if event.state in FINISHED else set()
        elif time.monotonic() > deadline_s:
            msg = (
                f"not finished within {timeout_s:g} s: {', '.join(sorted(left))}; it goes on, and "
                f"`microservo manage events --command {outcome.command_id}` shows how far it is"
            )
            raise Unavailable(msg)
    return replace(outcome, events=tuple(events))


def _send(request: ControlCommand, context: Context) -> None:
    from microservo.log.publisher import Publisher  # noqa: PLC0415  # loads NumPy, which most acts don't need

    connection = context.connection
    with connection.broker.producer(linger_ms=0) as producer:
        publisher = Publisher(producer, "client", prefix=connection.topic_prefix, clock=context.clock)
        try:
            publisher.publish(request)
        except SchemaError as error:  # a name that is no text, say
            msg = f"the command can't be sent: {error}"
            raise InvalidInput(msg) from error
        publisher.flush(_FLUSH_S)
