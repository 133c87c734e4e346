"""Tables about faults: their story, what came of each, and what was measured of their effects.

All of them are made of the same records: the events of some faults, and what was said of these faults at
services (`ServiceFault`, `FaultEffect`) and as a whole (`FaultVerdict`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from microservo.datasets.facts import table_of
from microservo.datasets.tables import EFFECT_INTERVALS, EFFECTS, FAULTS, READINGS
from microservo.domain.faults.lifecycle import findings_of
from microservo.domain.labels import role_of
from schemas.codec import encode
from schemas.records import FaultEffect, FaultEvent, FaultVerdict, ServiceFault

About = FaultEvent | ServiceFault | FaultEffect | FaultVerdict
T = TypeVar("T", FaultEvent, ServiceFault, FaultEffect, FaultVerdict)


def fault_events_table(records: Iterable[About]) -> pa.Table:
    """Every version of every fault, by request, fault, version and instance."""
    distinct = {_canonical_bytes(event): event for event in _of(FaultEvent, records)}
    return _fault_rows(event for _, event in sorted(distinct.items(), key=_place_of_event))


def faults_table(records: Iterable[About]) -> pa.Table:
    """One row per fault and instance, by its highest version, in order of request and instance.

    What was said of a fault as a whole stands only where there is no instance, as for a refused request. The
    verdict is the observer's newest, whether the story of the fault got as far as to tell it or not.
    """
    records = list(records)
    newest = _newest(_of(FaultEvent, records), lambda event: (event.fault_id, event.instance))
    verdicts = _newest(_of(FaultVerdict, records), lambda verdict: verdict.fault_id)
    placed = {event.fault_id for event in newest.values() if event.instance}
    shown = [event for event in newest.values() if event.instance or event.fault_id not in placed]
    shown.sort(key=lambda event: (event.requested_at_us, event.fault_id, event.instance))
    return _fault_rows(_judged(event, verdicts.get(event.fault_id)) for event in shown)


def effects_table(records: Iterable[About]) -> pa.Table:
    """One row per fault and service that it concerns: what was measured there, if anything was."""
    return table_of(EFFECTS, map(_effect_row, _at_services(records)))


def effect_intervals_table(records: Iterable[About]) -> pa.Table:
    """One row per interval in which a service's telemetry left its normal, in order of the effects."""
    return table_of(EFFECT_INTERVALS, (row for each in _at_services(records) for row in _interval_rows(each)))


class _AtService(NamedTuple):
    """A fault at a service: that it concerns it, and what was measured there."""

    requested_at_us: int
    fault_id: str
    service: str
    fault: ServiceFault | None
    effect: FaultEffect | None


def _at_services(records: Iterable[About]) -> list[_AtService]:
    records = list(records)
    requested_us = {event.fault_id: event.requested_at_us for event in _of(FaultEvent, records)}
    faults = _newest(_of(ServiceFault, records), lambda each: (each.fault_id, each.service))
    effects = _newest(_of(FaultEffect, records), lambda each: (each.fault_id, each.service))
    return sorted(
        (
            _AtService(requested_us.get(fault_id, 0), fault_id, service, faults.get(key), effects.get(key))
            for key in faults.keys() | effects.keys()
            for fault_id, service in [key]
        ),
        key=lambda each: each[:3],
    )


def _effect_row(found: _AtService) -> dict[str, Any]:
    fault, effect = found.fault, found.effect
    known = effect or fault
    assert known is not None
    finding = "undecided" if effect is None else effect.finding
    starts, ends = ((), ()) if effect is None else (effect.starts_us, effect.ends_us)
    is_tested = effect is not None and effect.series != ""
    return {
        "run_id": known.run_id,
        "fault_id": found.fault_id,
        "fault_kind": None if fault is None else fault.kind,
        "service": found.service,
        "root_service": known.root_service,
        "relation": known.relation,
        "hops": None if fault is None else fault.hops,
        "role": _role(found),
        "finding": finding,
        "first_deviating_at": starts[0] if starts else None,
        "first_within_us": effect.first_within_us if effect and starts else None,
        "last_deviating_at": ends[-1] if ends else None,
        "last_within_us": effect.last_within_us if effect and ends else None,
        "intervals": len(starts),
        "late_starts_us": effect.late_starts_us if effect else (),
        "late_ends_us": effect.late_ends_us if effect else (),
        "is_open": effect is not None and effect.is_open,
        "series": effect.series if effect else "",
        "baseline": effect.baseline if effect else None,
        "value": effect.value if effect else None,
        "samples": effect.samples if effect and is_tested else None,
        "p_value": effect.p_value if effect else None,
        "shared_with": effect.shared_with if effect else (),
        "looked_until": effect.through_us if effect else None,
        "is_final": effect is not None and effect.is_final,
        "evidence": effect.evidence if effect else "",
    }


def _role(found: _AtService) -> str:
    finding = "undecided" if found.effect is None else found.effect.finding
    if found.fault is not None:
        return role_of(found.fault.role, finding)
    assert found.effect is not None
    return role_of("root_cause" if found.effect.relation == "root" else "exposed", finding)


def _interval_rows(found: _AtService) -> Iterator[dict[str, Any]]:
    effect = found.effect
    if effect is None:
        return
    spans = zip(effect.starts_us, effect.ends_us, strict=True)
    for number, (first_us, last_us) in enumerate(spans, start=1):
        yield {
            "run_id": effect.run_id,
            "fault_id": effect.fault_id,
            "service": effect.service,
            "number": number,
            "first_deviating_at": first_us,
            "last_deviating_at": last_us,
            "is_open": effect.is_open and number == len(effect.starts_us),
        }


def _judged(event: FaultEvent, verdict: FaultVerdict | None) -> FaultEvent:
    if verdict is None or verdict.version <= event.verdict_version:
        return event
    return replace(event, **findings_of(verdict))


def _fault_rows(events: Iterable[FaultEvent]) -> pa.Table:
    return table_of(FAULTS, map(_fault_row, events))


def _fault_row(event: FaultEvent) -> dict[str, Any]:
    row = asdict(event) | {
        "parameters": json.dumps(event.parameters, ensure_ascii=False, sort_keys=True),
        "duration_us": event.duration_us or None,
    }
    times = {name.removesuffix("_us"): at_us for name, at_us in row.items() if name.endswith("at_us")}
    for name in READINGS:
        row[f"{name.removesuffix('_at')}_within_us"] = None if times[name] is None else 1
    return row | {"at": event.at_us, **times}


def _of(record: type[T], records: Iterable[About]) -> list[T]:
    return [each for each in records if isinstance(each, record)]


def _newest(records: Iterable[T], key: Callable[[T], Hashable]) -> dict[Any, T]:
    """The record of the highest version by key; of equals any, but always the same one."""
    found: dict[Any, T] = {}
    for each in records:
        known = found.setdefault(key(each), each)
        if known is not each and _rank(each) > _rank(known):
            found[key(each)] = each
    return found


def _rank(record: About) -> tuple[int, bytes]:
    return record.version, _canonical_bytes(record)


def _place_of_event(item: tuple[bytes, FaultEvent]) -> tuple[int, str, int, str, bytes]:
    value, event = item
    return event.requested_at_us, event.fault_id, event.version, event.instance, value


def _canonical_bytes(record: About) -> bytes:
    if isinstance(record, FaultEvent | ServiceFault):
        return encode(replace(record, parameters=dict(sorted(record.parameters.items()))))
    return encode(record)
