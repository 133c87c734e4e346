"""Which messages of `feature-windows` are to be scored."""

from __future__ import annotations

from microservo.adapters.broker import Message
from microservo.errors import InvalidMessage
from schemas.codec import SchemaError, decode_as
from schemas.envelope import HEARTBEAT_KEY
from schemas.records import FeatureWindow


def read_window(message: Message, run_id: str) -> FeatureWindow | None:
    """The window that a message holds; None for heartbeats, later revisions and other runs.

    An empty `run_id` takes every run.

    Raises:
        InvalidMessage: it holds no readable window.
    """
    if message.key == HEARTBEAT_KEY and message.value is None:
        return None
    if run_id and message.header("run") not in {None, run_id.encode()}:
        return None
    window = _decode(message)
    wanted = window.revision == 0 and run_id in {"", window.run_id}
    return window if wanted else None


def _decode(message: Message) -> FeatureWindow:
    if message.value is None:
        msg = "a message without a value that is no heartbeat; expected a FeatureWindow"
        raise InvalidMessage(msg)
    try:
        return decode_as(FeatureWindow, message.value)
    except SchemaError as error:
        raise InvalidMessage(str(error)) from error
