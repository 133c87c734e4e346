"""Records as JSON documents."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microservo.application.topics import Received


def document(received: Received) -> dict[str, object]:
    """What JSON shows of a message: where it lies, its key, and its record field by field."""
    message = received.message
    record = received.record
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp_us": message.timestamp_us,
        "key": None if message.key is None else message.key.decode("utf-8", "replace"),
        "type": None if record is None else type(record).__name__,
        "record": record,
        "problem": received.problem or None,
    }


def to_json(value: object) -> str:
    """A value, dataclasses and all, as one line of strict JSON in ASCII, so that no terminal obeys it.

    Columns of packed telemetry are base64, see docs/decisions/0003-columns.md; numbers that JSON lacks
    (NaN, infinities) are null.
    """
    # JSON may leave DEL as it is, and so Python does.
    return json.dumps(_plain(value), ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
