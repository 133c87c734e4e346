"""The name of a time series: its metric's, the attributes that set its points apart, and the scope."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from microservo.adapters.otlp.values import text_of
from microservo.domain.bounded_names import MAX_NAME_CHARS, cut
from microservo.domain.rows import CodedSeries

MAX_ATTRIBUTES_CHARS = MAX_NAME_CHARS
_PLAIN = re.compile(r'[^,={}"\\]*')

Pairs = tuple[tuple[str, str], ...]
Series = tuple[str, str, str]


class Labels:
    r"""Writes the attributes of points as `{key=value,...}`, keys in order.

    A key or value with one of `,={}"\` in it stands in quotes as JSON, so that different attributes never
    give the same text. One of more than 256 characters is cut and ends in `~` and a digest of the whole: such
    points stay apart, too. All that was written is remembered, so take a new one for each request.
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
            found = self._written[pairs] = labels_text(pairs)
        return found


def labels_text(pairs: Pairs) -> str:
    """Attributes as `Labels` writes them; empty where there is none."""
    if not pairs:
        return ""
    is_short = sum([len(key) + len(value) for key, value in pairs]) <= MAX_ATTRIBUTES_CHARS
    return (_short if is_short else _written)(pairs)


def series_column(series: Sequence[Series]) -> CodedSeries:
    """The coded column of one series per row, at least one; each as metric, labels and scope."""
    index: dict[Series, int] = {}
    codes = np.array([index.setdefault(each, len(index)) for each in series], np.int64)
    metrics, labels, scopes = zip(*index, strict=True)
    return CodedSeries(metrics=metrics, labels=labels, scopes=scopes, codes=codes)


def _written(pairs: Pairs) -> str:
    return "{" + cut(_text(pairs), MAX_ATTRIBUTES_CHARS) + "}"


# A sender sends the same series again and again.
_short = lru_cache(maxsize=8192)(_written)


def _text(pairs: Pairs) -> str:
    return ",".join([f"{quoted(key)}={quoted(value)}" for key, value in sorted(pairs)])


def quoted(text: str) -> str:
    """A key or value as it stands among others."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
