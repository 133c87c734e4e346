"""The name of a time series: its metric's, and the attributes that set its points apart."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import blake2s

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from microservo.adapters.otlp.values import text_of

MAX_ATTRIBUTES_CHARS = 256
_PLAIN = re.compile(r'[^,={}"\\]*')
_DIGEST_BYTES = 6

Pairs = tuple[tuple[str, str], ...]


class Labels:
    r"""Writes the attributes of points as `{key=value,...}`, keys in order.

    A key or value with one of `,={}"\` in it stands in quotes as JSON, so that different attributes never
    give the same text. One of more than 256 characters is cut and ends in `~` and a digest of the whole: such
    points stay apart, too. What was written is remembered, so take a new one for each request.
    """

    def __init__(self) -> None:
        self._written: dict[Pairs, str] = {}

    def of(self, attributes: Sequence[KeyValue]) -> str:
        """The text to put behind a metric's name, empty where there is no attribute."""
        if not attributes:
            return ""
        pairs = tuple([(each.key, each.value.string_value or text_of(each.value)) for each in attributes])
        found = self._written.get(pairs)
        if found is None:
            found = self._written[pairs] = "{" + _bounded(_text(pairs)) + "}"
        return found


def _text(pairs: Pairs) -> str:
    return ",".join([f"{_quoted(key)}={_quoted(value)}" for key, value in sorted(pairs)])


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _bounded(text: str) -> str:
    if len(text) <= MAX_ATTRIBUTES_CHARS:
        return text
    ending = "~" + blake2s(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return text[: MAX_ATTRIBUTES_CHARS - len(ending)] + ending
