"""The last value of every series that comes less often than windows are cut, said again in each window.

A metric that is exported each minute has a point in one window of twelve. Only what is on a topic reaches a
window, so the collector repeats the value there once a window, with how old it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from microservo.domain.identity import UNIDENTIFIED, Identity
from microservo.domain.increments import NEVER_US
from microservo.domain.rows import Coded, MetricRows
from microservo.domain.telemetry import Int64

_SELDOM = 1.2
"""A series is repeated where its points lie further apart than so many windows."""
_STEPS = 5
_LEAST_US = 120_000_000
"""A series of which nothing came for so many of its own steps, and for so long, has ended."""
_FORGOTTEN_US = 3_600_000_000
_SERIES = 200_000
_KEPT_COLUMNS = 64
_GATHERED = 64
"""Rows of an instance that are gathered before they are sorted in, so that small bodies cost little each."""


class LastPoints:
    """Knows the newest point of every series that goes on; for one thread.

    Args:
        window_us: length of a window.
    """

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._senders: dict[tuple[str, str], _Sender] = {}
        self._window = 0

    def add(self, rows: MetricRows) -> None:
        """Remembers the points of some rows."""
        key = (rows.service, rows.instance)
        sender = self._senders.get(key)
        if sender is None:
            if sum(map(len, self._senders.values())) > _SERIES:
                return
            sender = self._senders[key] = _Sender(rows.service, rows.instance)
        sender.add(rows)

    def due(self, now_us: int) -> Iterator[MetricRows]:
        """Once in a window, the last points of the series that come seldom, as measured before now."""
        window = now_us // self._window_us
        if window == self._window:
            return
        self._window = window
        for key, sender in list(self._senders.items()):
            if now_us - sender.newest_us > _FORGOTTEN_US:
                del self._senders[key]
            elif (rows := sender.repeated(now_us, round(_SELDOM * self._window_us))) is not None:
                yield rows


class _Sender:
    """The series of one instance."""

    def __init__(self, service: str, instance: str) -> None:
        self._service = service
        self._instance = instance
        self._identity: Identity = UNIDENTIFIED
        self._slots: dict[str, int] = {}
        self._columns: dict[tuple[str, ...], Int64] = {}
        self._time_us = np.empty(0, np.int64)
        self._step_us = np.empty(0, np.int64)
        self._interval_us = np.empty(0, np.int64)
        self._value = np.empty(0)
        self._gathered: list[MetricRows] = []
        self.newest_us = 0

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, rows: MetricRows) -> None:
        self._identity = rows.identity
        self.newest_us = max(self.newest_us, int(rows.time_us.max()))
        self._gathered.append(rows)
        if len(self._gathered) >= _GATHERED:
            self._sort_in()

    def _sort_in(self) -> None:
        rows, self._gathered = self._gathered, []
        if not rows:
            return
        slots = np.concatenate([self._slots_of(each.name.names)[each.name.codes] for each in rows])
        time_us = np.concatenate([each.time_us for each in rows])
        interval_us = np.concatenate(
            [each.interval_us if each.interval_us is not None else np.zeros(each.count, int) for each in rows]
        )
        value = np.concatenate([each.value for each in rows])
        order = np.lexsort((time_us, slots))
        slots, time_us, interval_us = slots[order], time_us[order], interval_us[order]
        before_us = self._time_us[slots]
        repeats = np.flatnonzero(slots[1:] == slots[:-1]) + 1
        before_us[repeats] = np.maximum(before_us[repeats], time_us[repeats - 1])
        step_us = np.where(before_us == NEVER_US, interval_us, time_us - before_us)
        # The last row of a series in this order is its newest, and is what remains.
        newer = time_us > before_us
        at = slots[newer]
        self._time_us[at] = time_us[newer]
        self._step_us[at] = step_us[newer]
        self._interval_us[at] = interval_us[newer]
        self._value[at] = value[order][newer]

    def repeated(self, now_us: int, seldom_us: int) -> MetricRows | None:
        """The last points of the series whose points lie further apart than `seldom_us`."""
        self._sort_in()
        age_us = now_us - self._time_us
        # One that has come only once may be any; by then it would have come again.
        apart_us = np.where(self._step_us > 0, self._step_us, age_us)
        is_due = (apart_us > seldom_us) & (age_us > 0)
        at = np.flatnonzero(is_due & (age_us <= np.maximum(_STEPS * self._step_us, _LEAST_US)))
        if not len(at):
            return None
        names = list(self._slots)
        return MetricRows(
            service=self._service,
            instance=self._instance,
            identity=self._identity,
            time_us=np.full(len(at), now_us, np.int64),
            name=Coded(names=tuple([names[slot] for slot in at.tolist()]), codes=np.arange(len(at))),
            value=self._value[at],
            interval_us=self._interval_us[at],
            age_us=age_us[at],
        )

    def _slots_of(self, names: tuple[str, ...]) -> Int64:
        found = self._columns.get(names)
        if found is None:
            if len(self._columns) >= _KEPT_COLUMNS:
                self._columns.clear()
            slots = [self._slots.setdefault(name, len(self._slots)) for name in names]
            found = self._columns[names] = np.array(slots, np.int64)
            more = max(0, len(self._slots) - len(self._time_us))
            self._time_us = np.append(self._time_us, np.full(more, NEVER_US))
            self._step_us = np.append(self._step_us, np.zeros(more, np.int64))
            self._interval_us = np.append(self._interval_us, np.zeros(more, np.int64))
            self._value = np.append(self._value, np.zeros(more))
        return found
