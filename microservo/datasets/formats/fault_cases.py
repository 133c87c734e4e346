"""Faults as cases: one root cause each, from when to when, and the time before that nothing disturbed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc

from microservo.datasets.formats.reading import Tables
from microservo.datasets.formats.stretches import Stretches

if TYPE_CHECKING:
    from microservo.datasets.formats.format import Export


class InForce(NamedTuple):
    """A fault on an instance, "" for one without a name; instants in microseconds UTC, None if not known."""

    instance: str
    applied_us: int
    recovered_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCase:
    """A fault that was in force; instants in microseconds UTC.

    Attributes:
        service: where it was injected.
        applied_to: each instance that it was applied to, sorted.
        applied_us: when the first of them had it.
        recovered_us: when the last of them was rid of it; None where that is not known.
        ended_us: when it was over with all that was measured of it, the end of the run where that is not
            known.
        severity: 0 to 1; None where not known.
        disturbed: the time in which it was in force, or visible anywhere.
    """

    fault_id: str
    kind: str
    service: str
    applied_to: tuple[InForce, ...]
    applied_us: int
    recovered_us: int | None
    ended_us: int
    severity: float | None
    verdict: str
    disturbed: Stretches

    @property
    def instances(self) -> tuple[str, ...]:
        """Those of them that have a name."""
        return tuple(each.instance for each in self.applied_to if each.instance)

    @property
    def is_control(self) -> bool:
        """Whether it harms nothing, and so is the cause of nothing."""
        return self.severity == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCases:
    """All faults that were in force, in order of time, controls among them; instants in microseconds UTC.

    Attributes:
        from_us: start of the first window.
        until_us: end of the last window.
    """

    cases: tuple[FaultCase, ...]
    from_us: int
    until_us: int

    @classmethod
    def of(cls, source: Tables) -> FaultCases:
        """Those of a dataset."""
        windows = source.table("windows.parquet", "start", "end")
        from_us = pc.min(windows.column("start")).as_py() or 0
        until_us = pc.max(windows.column("end")).as_py() or 0
        seen = _seen(source)
        by_fault: dict[str, list[dict[str, Any]]] = {}
        for row in source.table("faults.parquet", *_COLUMNS).to_pylist():
            if row["applied_at"] is not None:
                by_fault.setdefault(row["fault_id"], []).append(row)
        found = [_case(rows, seen.get(fault_id, ()), until_us) for fault_id, rows in by_fault.items()]
        found.sort(key=lambda case: (case.applied_us, case.fault_id))
        return cls(cases=tuple(found), from_us=from_us, until_us=until_us)

    @property
    def harmful(self) -> tuple[FaultCase, ...]:
        """Those that are no controls."""
        return tuple(case for case in self.cases if not case.is_control)

    @property
    def disturbed(self) -> Stretches:
        """The time in which any of them was in force, or visible anywhere."""
        return _together(case.disturbed for case in self.harmful)

    def beside(self, case: FaultCase) -> tuple[FaultCase, ...]:
        """Other faults that disturbed the time between the beginning and the end of one."""
        others = (each for each in self.harmful if each is not case)
        return tuple(each for each in others if each.disturbed.overlap(case.applied_us, case.ended_us))


def note_controls(found: FaultCases, out: Export) -> None:
    """Says of each control that formats of causes have no place for it."""
    for case in found.cases:
        if case.is_control:
            out.lost(f"Fault {case.fault_id} ({case.kind}): it harms nothing, so it is the cause of nothing.")


_COLUMNS = (
    "fault_id",
    "kind",
    "service",
    "instance",
    "apply_commanded_at",
    "applied_at",
    "recovered_at",
    "severity",
    "verdict",
)


def _case(rows: Sequence[Mapping[str, Any]], seen: Iterable[tuple[int, int]], until_us: int) -> FaultCase:
    recovered = [row["recovered_at"] for row in rows]
    in_force = [
        (
            row["applied_at"] if row["apply_commanded_at"] is None else row["apply_commanded_at"],
            until_us if row["recovered_at"] is None else row["recovered_at"],
        )
        for row in rows
    ]
    disturbed = Stretches.of([*in_force, *seen])
    applied_us = min(row["applied_at"] for row in rows)
    return FaultCase(
        fault_id=rows[0]["fault_id"],
        kind=rows[0]["kind"],
        service=rows[0]["service"],
        applied_to=tuple(
            InForce(row["instance"] or "", row["applied_at"], row["recovered_at"])
            for row in sorted(rows, key=lambda row: row["instance"] or "")
        ),
        applied_us=applied_us,
        recovered_us=None if None in recovered else max(recovered),
        ended_us=max([applied_us, *disturbed.until_us.tolist()]),
        severity=rows[0]["severity"],
        verdict=rows[0]["verdict"],
        disturbed=disturbed,
    )


def _seen(source: Tables) -> dict[str, list[tuple[int, int]]]:
    """When the telemetry of any service had left its normal by a fault."""
    found: dict[str, list[tuple[int, int]]] = {}
    columns = ("fault_id", "first_deviating_at", "last_deviating_at")
    for fault_id, first_us, last_us in _rows(source, "effect_intervals.parquet", columns):
        found.setdefault(fault_id, []).append((first_us, last_us + 1))
    late = ("fault_id", "late_starts_us", "late_ends_us")
    for fault_id, starts_us, ends_us in _rows(source, "effects.parquet", late):
        pairs = ((start, end + 1) for start, end in zip(starts_us, ends_us, strict=True))
        found.setdefault(fault_id, []).extend(pairs)
    return found


def _rows(source: Tables, name: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    table = source.table(name, *columns)
    return zip(*(table.column(column).to_pylist() for column in columns), strict=True)


def _together(all_of_them: Iterable[Stretches]) -> Stretches:
    return Stretches.of(
        pair
        for each in all_of_them
        for pair in zip(each.from_us.tolist(), each.until_us.tolist(), strict=True)
    )
