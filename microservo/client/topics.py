"""`client.topics`."""

from __future__ import annotations

from microservo.application.command import Context
from microservo.application.table import execute
from microservo.application.topics import (
    DEFAULT_PARTITIONS,
    EnsureTopics,
    ListTopics,
    Start,
    Subscribe,
    Subscription,
    TopicStatus,
)


class Topics:
    """List, create and subscribe to topics."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(self) -> tuple[TopicStatus, ...]:
        """Every topic of the contract, as the broker has it."""
        return execute(ListTopics(), self._context)

    def ensure(self, partitions: int = DEFAULT_PARTITIONS) -> tuple[str, ...]:
        """Creates the topics that are missing and returns their names.

        Raises:
            InvalidInput: one exists with another number of partitions.
        """
        return execute(EnsureTopics(partitions=partitions), self._context)

    def subscribe(
        self, topic: str, *, start: Start = "latest", until_end: bool = False, group_id: str | None = None
    ) -> Subscription:
        """The messages of a topic with their records, as they come; see `Subscription`.

        Args:
            topic: logical name, for example "labelled-windows", or a dead-letter topic of one.
            start: "earliest", "latest" or an instant.
            until_end: stop after what is there now.
            group_id: share the topic with the other members of a group.

        Raises:
            InvalidInput: there is no such topic, or the group can't start or end so.
        """
        command = Subscribe(topic=topic, start=start, until_end=until_end, group_id=group_id)
        return execute(command, self._context)
