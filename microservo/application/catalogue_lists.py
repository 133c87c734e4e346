"""Answering lists from the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from microservo.application.catalogue_database import catalogue_url, opened
from microservo.application.connection import Connection
from microservo.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from microservo.catalogue.reading import Catalogue

logger = logging.getLogger(__name__)
R = TypeVar("R")

SHORT_MESSAGES = 5_000
"""As many are read in the time that it takes to load SQLAlchemy (docs/decisions/0022-catalogue.md)."""
_CONNECT_S = 2
"""The least that drivers know; nobody waits for it (`microservo.catalogue.deadline`)."""


def from_catalogue(
    connection: Connection, topics: tuple[str, ...], ask: Callable[[Catalogue], R | None]
) -> R | None:
    """What the catalogue answers; None where the topics are to be read.

    They are where there is no catalogue, where it has not all that they hold, and where they are short: then
    that is quicker.

    Args:
        connection: to the broker.
        topics: logical names of those that would be read.
        ask: asks the catalogue.

    Raises:
        InvalidInput: the URL names no database.
    """
    url = catalogue_url(connection)
    if not url or _are_short(connection, topics):
        return None
    try:
        with opened(url, wait_s=_CONNECT_S, reads_only=True) as engine:
            from microservo.catalogue.database import place_of  # noqa: PLC0415  # loads SQLAlchemy
            from microservo.catalogue.reading import Catalogue  # noqa: PLC0415  # as above

            found = ask(Catalogue(connection.broker, engine, url, connection.topic_prefix))
            if found is None:
                logger.warning("%s is away or behind the topics, which are read instead", place_of(url))
            return found
    except Unavailable as error:
        logger.warning("%s; the topics are read instead", error)
        return None


def _are_short(connection: Connection, topics: tuple[str, ...]) -> bool:
    """By the offsets; compaction may have left fewer messages."""
    try:
        with connection.broker.consumer(group_id=None) as consumer:
            ranges = [
                consumer.offset_range(partition)
                for topic in topics
                for partition in consumer.partitions(connection.topic(topic))
            ]
    except InvalidInput:
        return True  # a topic is missing; who reads it says so, or has no need of it
    return sum(end - first for first, end in ranges) < SHORT_MESSAGES
