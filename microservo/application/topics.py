"""What can be asked for about topics."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.application.command import Command, Context
from microservo.errors import InvalidInput
from microservo.log.subscription import Received, Start, Subscription
from microservo.log.topics import DEFAULT_PARTITIONS, TopicStatus, topic_specs, topic_statuses

__all__ = [
    "DEFAULT_PARTITIONS",
    "EnsureTopics",
    "ListTopics",
    "Received",
    "Start",
    "Subscribe",
    "Subscription",
    "TopicStatus",
    "ensure_topics",
    "list_topics",
    "subscribe",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe(Command[Subscription]):
    """Asks for the messages of a topic with their records, as they come.

    Attributes:
        topic: logical name, for example "labelled-windows", or a dead-letter topic of one.
        start: "earliest", "latest" or an instant.
        until_end: stop after what is there now.
        group_id: share the topic with the other members of a group.
    """

    topic: str
    start: Start = "latest"
    until_end: bool = False
    group_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTopics(Command[tuple[TopicStatus, ...]]):
    """Asks for every topic of the contract as the broker has it, or for the one of a name."""

    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureTopics(Command[tuple[str, ...]]):
    """Creates the topics that are missing."""

    partitions: int = DEFAULT_PARTITIONS


def subscribe(command: Subscribe, context: Context) -> Subscription:
    """The subscription.

    Raises:
        InvalidInput: there is no such topic, or the group can't start or end so.
    """
    connection = context.connection
    return Subscription(
        connection.broker,
        connection.topic(command.topic),
        start=command.start,
        until_end=command.until_end,
        group_id=command.group_id,
    )


def list_topics(command: ListTopics, context: Context) -> tuple[TopicStatus, ...]:
    """The topics, in the order of the contract.

    Raises:
        InvalidInput: there is none of the name.
    """
    connection = context.connection
    found = topic_statuses(connection.broker, connection.topic_prefix)
    chosen = tuple(each for each in found if command.name in (None, each.topic.name, each.name))
    if not chosen:
        names = ", ".join(each.topic.name for each in found)
        msg = f"there is no topic {command.name!r}; choose one of {names}"
        raise InvalidInput(msg)
    return chosen


def ensure_topics(command: EnsureTopics, context: Context) -> tuple[str, ...]:
    """The names of the topics that were created.

    Raises:
        InvalidInput: one exists with another number of partitions.
    """
    connection = context.connection
    specs = topic_specs(prefix=connection.topic_prefix, partitions=command.partitions)
    return tuple(connection.broker.admin().ensure_topics(specs))
