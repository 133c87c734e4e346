"""The entities of the manager as they lie on `system-state`: what holds, by the judgement that all share."""

from __future__ import annotations

import logging

from microservo.adapters.broker import Broker, Message
from microservo.domain.manager.changes import Change, change_of, deletion_of
from microservo.domain.manager.replica import Replica
from microservo.errors import InvalidMessage
from microservo.log.reader import read_topic
from schemas.catalogue import SYSTEM_STATE
from schemas.codec import SchemaError, decode_as
from schemas.records import EntityChange

logger = logging.getLogger(__name__)

_READER = ""
"""No process: it writes nothing."""


def change_in(message: Message) -> Change:
    """The change that a message of the topic says.

    Raises:
        InvalidMessage: it says none; it belongs on the dead-letter topic.
    """
    try:
        if message.value is None:
            return deletion_of((message.key or b"").decode(), message.headers)
        return change_of(decode_as(EntityChange, message.value))
    except (SchemaError, ValueError) as error:
        raise InvalidMessage(str(error)) from error


def read_system_state(broker: Broker, topic_prefix: str = "") -> dict[str, Change]:
    """The newest change that holds of each entity that there is, by kind and id.

    Messages that can't be read are passed over; how many there were is logged.

    Raises:
        InvalidInput: the broker has no topic of them.
        Retryable: the broker stopped giving messages.
    """
    replica = Replica(_READER)
    unreadable = 0
    for message in read_topic(broker, topic_prefix + SYSTEM_STATE):
        try:
            change = change_in(message)
        except InvalidMessage as error:
            unreadable, last = unreadable + 1, error
            continue
        replica.read(change)
    if unreadable:
        logger.warning(
            "passed over %d unreadable messages of %s, the last: %s", unreadable, SYSTEM_STATE, last
        )
    found = {change.entity: change for change in replica.holding() if not change.is_deletion}
    return dict(sorted(found.items()))
