"""What is measured of every host, or of every container, in columns: present values and their history."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rules.rule import Mode
from microservo.domain.telemetry import Float64, Int64, UInt64
from microservo.errors import InvalidInput

EntityKind = Literal["host", "container"]
_FIRST_SLOTS = 16


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
        self._at_us = np.zeros(shape, np.int64)
        self._simulated = np.full(shape, np.nan)
        self._count = np.zeros(shape, np.int64)
        self._sum = np.zeros(shape)
        self._last = np.full(shape, np.nan)
        self._minimum = np.full(shape, np.nan)
        self._maximum = np.full(shape, np.nan)
        self._serial = np.zeros(_FIRST_SLOTS, np.int64)
        self._keys = np.zeros(_FIRST_SLOTS, np.uint64)
        self._measured_us = np.zeros(_FIRST_SLOTS, np.int64)

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
        """When the newest value of any field was measured, 0 for never, shape (slots,)."""
        return self._measured_us[: len(self)]

    def slot_of(self, name: str) -> int | None:
        """The slot of an entity; None where there is no such one."""
        return self._slots.get(name)

    def add(self, name: str) -> int:
        """Gives an entity a slot without any value; the one it has where it is known already."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Forgets an entity and frees its slot; nothing where it isn't known."""
        raise NotImplementedError

    def add_field(self, name: str) -> None:
        """One more row, without any value; nothing where it is there already."""
        raise NotImplementedError

    def record(self, field: str, slots: Int64, values: Float64, at_us: Int64) -> None:
        """Takes measured values in.

        A value older than the present one only counts in the history, never as its last. One of the same
        instant replaces it, so that a record read twice counts once. What is not finite is no value.

        Args:
            field: what was measured.
            slots: whose, shape (values,), in any order; several of one slot count one after another.
            values: shape (values,).
            at_us: when they were measured, epoch microseconds, shape (values,).

        Raises:
            InvalidInput: there is no such field; add it first.
        """
        raise NotImplementedError

    def expire(self, before_us: int) -> None:
        """Moves present values measured before an instant into the history: nothing is known any more."""
        raise NotImplementedError

    def simulate(self, values: Float64) -> None:
        """Lays simulated values over the present ones, instead of all that lay there before.

        Args:
            values: shape (fields, slots), NaN where nothing is simulated; see `simulated_values`.
        """
        raise NotImplementedError

    def compared(self, field: str, mode: Mode, where: Int64 | slice) -> Float64:
        """What a condition compares, NaN where it is undefined, shape (slots of `where`,)."""
        raise NotImplementedError
