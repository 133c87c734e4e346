"""Records as JSON documents."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from microservo.log.subscription import Received


def document(received: Received) -> str:
    """A message as one line of JSON: where it lies, its key, and its record field by field.

    Columns of packed telemetry are base64, see docs/decisions/0003-columns.md; numbers that JSON lacks
    (NaN, infinities) are null.
    """
    message = received.message
    record = received.record
    return to_json(
        {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp_us": message.timestamp_us,
            "key": None if message.key is None else message.key.decode("utf-8", "replace"),
            "type": None if record is None else type(record).__name__,
            "record": record,
            "problem": received.problem or None,
        }
    )


def to_json(value: object, *, indent: int | None = None) -> str:
    """A value, dataclasses and all, as strict JSON."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


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
