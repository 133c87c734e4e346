"""What is measured of every host, or of every container, in columns: present values and their history."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rules.rule import Mode
from microservo.domain.telemetry import Float64, Int64, UInt64
from microservo.errors import InvalidInput

EntityKind = Literal["host", "container"]
_FIRST_SLOTS = 16
NEVER_US: Final = np.iinfo(np.int64).min
"""Before every instant."""
Number = TypeVar("Number", bound=np.generic)


class Measurements:
    """Fields x entities: present values, and the history before them.

    An entity has a slot, its column in every array; the slot of one that is gone is used again. A value that
    comes in moves the present one into the history, so that the history never has the present value: that is
    what deviations are measured against.

    ::

        record(cpu-%, [slot], [v2])      values  v1 ─► v2     history  v0 ─► v0 v1

    Simulated values lie over the present ones and go into the history only with `remembers_simulated`.

    Args:
        kind: what the entities are.
        fields: names of what is measured.
        remembers_simulated: each simulated value enters the history, as a real one does.

    Attributes:
        fields: row of each field.
        names: of the entities, slot by slot; empty where a slot is free.
    """

    def __init__(self, kind: EntityKind, fields: Sequence[str], *, remembers_simulated: bool = False) -> None:
        self.kind: EntityKind = kind
        self.fields = {name: row for row, name in enumerate(fields)}
        self.names: list[str] = []
        self._remembers_simulated = remembers_simulated
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._entities = 0
        shape = len(self.fields), _FIRST_SLOTS
        self._values = np.full(shape, np.nan)
        self._at_us = np.full(shape, NEVER_US)
        self._simulated = np.full(shape, np.nan)
        self._count = np.zeros(shape, np.int64)
        self._sum = np.zeros(shape)
        self._last = np.full(shape, np.nan)
        self._minimum = np.full(shape, np.nan)
        self._maximum = np.full(shape, np.nan)
        self._serial = np.zeros(_FIRST_SLOTS, np.int64)
        self._keys = np.zeros(_FIRST_SLOTS, np.uint64)
        self._measured_us = np.full(_FIRST_SLOTS, NEVER_US)

    def __len__(self) -> int:
        """How many slots there are, free ones included: the length of every column."""
        return len(self.names)

    @property
    def values(self) -> Float64:
        """Present values that were measured, NaN where there is none, shape (fields, slots)."""
        return self._values[:, : len(self)]

    @property
    def simulated(self) -> Float64:
        """Simulated values, NaN where there is none, shape (fields, slots). They hide the measured ones."""
        return self._simulated[:, : len(self)]

    @property
    def count(self) -> Int64:
        """Values in the history, shape (fields, slots); likewise `sum`, `last`, `minimum` and `maximum`."""
        return self._count[:, : len(self)]

    @property
    def sum(self) -> Float64:
        return self._sum[:, : len(self)]

    @property
    def last(self) -> Float64:
        return self._last[:, : len(self)]

    @property
    def minimum(self) -> Float64:
        return self._minimum[:, : len(self)]

    @property
    def maximum(self) -> Float64:
        return self._maximum[:, : len(self)]

    @property
    def serial(self) -> Int64:
        """A number that no other entity ever had, 0 in a free slot, shape (slots,)."""
        return self._serial[: len(self)]

    @property
    def keys(self) -> UInt64:
        """A hash of each entity's name, shape (slots,): what chance is drawn from."""
        return self._keys[: len(self)]

    @property
    def measured_us(self) -> Int64:
        """When the newest value of any field was measured, `NEVER_US` for never, shape (slots,)."""
        return self._measured_us[: len(self)]

    def slot_of(self, name: str) -> int | None:
        """The slot of an entity; None where there is no such one."""
        return self._slots.get(name)

    def add(self, name: str) -> int:
        """Gives an entity a slot without any value; the one it has where it is known already.

        Raises:
            InvalidInput: the name is empty, which is how a free slot is marked.
        """
        known = self._slots.get(name)
        if known is not None:
            return known
        if not name:
            msg = f"a {self.kind} without a name can't be measured; give it one"
            raise InvalidInput(msg)
        slot = self._free.pop() if self._free else len(self.names)
        if slot == len(self.names):
            self.names.append("")
            self._make_room()
        self.names[slot] = name
        self._slots[name] = slot
        self._entities += 1
        self._serial[slot] = self._entities
        self._keys[slot] = hashed(name)
        return slot

    def remove(self, name: str) -> None:
        """Forgets an entity and frees its slot; nothing where it isn't known."""
        slot = self._slots.pop(name, None)
        if slot is None:
            return
        self.names[slot] = ""
        self._free.append(slot)
        for column in (self._values, self._simulated, self._last, self._minimum, self._maximum):
            column[:, slot] = np.nan
        self._at_us[:, slot] = NEVER_US
        self._count[:, slot] = 0
        self._sum[:, slot] = 0
        self._serial[slot] = 0
        self._keys[slot] = 0
        self._measured_us[slot] = NEVER_US

    def add_field(self, name: str) -> None:
        """One more row, without any value; nothing where it is there already."""
        if name not in self.fields:
            self.fields[name] = len(self.fields)
            self._resize(len(self.fields), len(self._serial))

    def record(self, field: str, slots: Int64, values: Float64, at_us: Int64) -> None:
        """Takes measured values in.

        A value older than the present one only counts in the history, never as its last. One of the same
        instant replaces it, so that a record read twice counts once. What is not finite is no value.

        Args:
            field: what was measured.
            slots: whose, shape (values,), in any order; several of one slot count in the order of time.
            values: shape (values,).
            at_us: when they were measured, epoch microseconds, shape (values,).

        Raises:
            InvalidInput: there is no such field; add it first.
        """
        row = self._row(field)
        known = np.isfinite(values)
        slots, values, at_us = slots[known], values[known], at_us[known]
        if not len(slots):
            return
        if np.bincount(slots).max() == 1:
            self._record(row, slots, values, at_us)
            return
        order = np.lexsort((at_us, slots))
        slots, values, at_us = slots[order], values[order], at_us[order]
        begins = np.flatnonzero(np.diff(slots, prepend=-1))
        turn = np.arange(len(slots)) - np.repeat(begins, np.diff(begins, append=len(slots)))
        for number in range(int(turn.max()) + 1):
            now = turn == number
            self._record(row, slots[now], values[now], at_us[now])

    def expire(self, before_us: int, field: str | None = None) -> None:
        """Moves present values measured before an instant into the history: nothing is known any more.

        Args:
            before_us: epoch microseconds.
            field: the only one to do so for; a ranking, for example, is good for longer than a level.
        """
        for row in range(len(self.fields)) if field is None else [self._row(field)]:
            slots = np.flatnonzero(~np.isnan(self.values[row]) & (self._at_us[row, : len(self)] < before_us))
            self._remember(row, slots, self._values[row, slots])
            self._last[row, slots] = self._values[row, slots]
            self._values[row, slots] = np.nan

    def simulate(self, values: Float64) -> None:
        """Lays simulated values over the present ones, instead of all that lay there before.

        Args:
            values: shape (fields, slots), NaN where nothing is simulated; see `simulated_values`.
        """
        if self._remembers_simulated:
            for row in range(len(self.fields)):
                slots = np.flatnonzero(~np.isnan(self.simulated[row]))
                self._remember(row, slots, self._simulated[row, slots])
                self._last[row, slots] = self._simulated[row, slots]
        self._simulated[:, : len(self)] = values

    def compared(self, field: str, mode: Mode, where: Int64 | slice) -> Float64:
        """What a condition compares, NaN where it is undefined, shape (slots of `where`,).

        Raises:
            InvalidInput: there is no such field; add it first.
        """
        row = self._row(field)
        if mode == "effective":
            return self._present(row, where)
        if mode == "average":
            return self._average(row, where)
        if mode == "deviation-%-on-average":
            return _deviation(self._present(row, where), self._average(row, where))
        return _deviation(self._present(row, where), self.last[row, where])

    def _row(self, field: str) -> int:
        row = self.fields.get(field)
        if row is None:
            msg = f"nobody measures {field[:80]!r} of a {self.kind}; add the field before its values"
            raise InvalidInput(msg)
        return row

    def _present(self, row: int, where: Int64 | slice) -> Float64:
        simulated, measured = self.simulated[row, where], self.values[row, where]
        return np.where(np.isnan(simulated), measured, simulated)

    def _average(self, row: int, where: Int64 | slice) -> Float64:
        count = self.count[row, where]
        mean = np.full(count.shape, np.nan)
        np.divide(self.sum[row, where], count, out=mean, where=count > 0)
        return mean

    def _record(self, row: int, slots: Int64, values: Float64, at_us: Int64) -> None:
        """Takes in values of different slots."""
        present, present_us = self._values[row, slots], self._at_us[row, slots]
        is_newer, is_older = at_us > present_us, at_us < present_us
        is_present = ~np.isnan(present)
        passed = is_newer & is_present
        self._remember(row, slots[passed], present[passed])
        self._last[row, slots[passed]] = present[passed]
        self._remember(row, slots[is_older], values[is_older])
        # One that has expired is in the history already.
        taken = is_newer | (~is_older & is_present)
        self._values[row, slots[taken]] = values[taken]
        self._at_us[row, slots[taken]] = at_us[taken]
        self._measured_us[slots] = np.maximum(self._measured_us[slots], at_us)

    def _remember(self, row: int, slots: Int64, values: Float64) -> None:
        """Counts values of different slots in the history."""
        self._count[row, slots] += 1
        with np.errstate(over="ignore"):
            self._sum[row, slots] += values
        self._minimum[row, slots] = np.fmin(self._minimum[row, slots], values)
        self._maximum[row, slots] = np.fmax(self._maximum[row, slots], values)

    def _make_room(self) -> None:
        if len(self.names) > len(self._serial):
            self._resize(len(self.fields), 2 * len(self._serial))

    def _resize(self, rows: int, slots: int) -> None:
        self._values = _resized(self._values, (rows, slots), np.nan)
        self._at_us = _resized(self._at_us, (rows, slots), NEVER_US)
        self._simulated = _resized(self._simulated, (rows, slots), np.nan)
        self._count = _resized(self._count, (rows, slots), 0)
        self._sum = _resized(self._sum, (rows, slots), 0)
        self._last = _resized(self._last, (rows, slots), np.nan)
        self._minimum = _resized(self._minimum, (rows, slots), np.nan)
        self._maximum = _resized(self._maximum, (rows, slots), np.nan)
        self._serial = _resized(self._serial, (slots,), 0)
        self._keys = _resized(self._keys, (slots,), 0)
        self._measured_us = _resized(self._measured_us, (slots,), NEVER_US)


def hashed(text: str) -> int:
    """64 bits of a text, the same everywhere and always."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _deviation(value: Float64, base: Float64) -> Float64:
    """In per cent of the size of `base`; NaN where that is 0, for then there is no such share."""
    size = np.abs(base)
    deviation = np.full(size.shape, np.nan)
    # What is too large for a float is infinite, which compares as it should.
    with np.errstate(over="ignore", invalid="ignore"):
        np.divide(100.0 * (value - base), size, out=deviation, where=size > 0)
    return deviation


def _resized(column: NDArray[Number], shape: tuple[int, ...], fill: float) -> NDArray[Number]:
    larger = np.full(shape, fill, column.dtype)
    larger[tuple(slice(length) for length in column.shape)] = column
    return larger
