"""Which hosts have room, kept for each need that was asked about: few of thousands change in between."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np

from microservo.domain.placement import Hosts, Int8, Need, why_not

_NEEDS_KEPT: Final = 256
_CHANGES_KEPT: Final = 2**16
_PART: Final = 4
"""If more than one host in so many has changed, all are looked at anew."""


class HostAnswers:
    """What `why_not` said, and which hosts have changed since."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Need, tuple[int, Int8]] = OrderedDict()
        """The answer for each need, and how many changes it knows; the one asked about last is the last."""
        self._changes: list[int] = []

    def changed(self, row: int) -> None:
        """Something that answers depend on is otherwise now."""
        if self._kept:
            self._changes.append(row)
            if len(self._changes) > _CHANGES_KEPT:
                self.forget()

    def forget(self) -> None:
        """There are other hosts now, or they have other places."""
        self._kept.clear()
        self._changes.clear()

    def why_not(self, hosts: Hosts, need: Need) -> Int8:
        """As `placement.why_not`, of all hosts; the same array is brought up to date each time."""
        known, kept = self._kept.pop(need, (0, None))
        rows = dict.fromkeys(self._changes[known:]) if kept is not None else ()
        if kept is None or len(rows) * _PART > len(hosts):
            kept = why_not(hosts, need)
        elif rows:
            where = np.fromiter(rows, np.int64, len(rows))
            kept[where] = why_not(hosts, need, where)
        self._kept[need] = len(self._changes), kept
        if len(self._kept) > _NEEDS_KEPT:
            self._kept.popitem(last=False)
        return kept
