"""The names of spans, bounded: those of a service's inner steps take no place of those that it serves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from microservo.domain.bounded_names import BoundedNames
from microservo.domain.rows import SpanRows, renamed
from microservo.domain.telemetry import INTERNAL_SPAN

_ENDPOINTS = 200
_INTERNAL = 100


class SpanNames:
    """Admits the first 200 names of each service, and of spans that are INTERNAL 100 besides."""

    def __init__(self) -> None:
        self._endpoints = BoundedNames(_ENDPOINTS)
        self._internal = BoundedNames(_INTERNAL)

    def admitted(self, rows: SpanRows) -> SpanRows:
        """The rows under the names that are admitted."""
        names, codes = rows.endpoint.names, rows.endpoint.codes
        is_internal = rows.kind <= INTERNAL_SPAN
        others = np.bincount(codes[~is_internal], minlength=len(names)).tolist()
        admitted = tuple(
            [
                (self._endpoints if count else self._internal).admit(rows.service, name)
                for name, count in zip(names, others, strict=True)
            ]
        )
        return rows if admitted == names else replace(rows, endpoint=renamed(rows.endpoint, admitted))
