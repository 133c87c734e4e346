"""Which rows a record makes: pure, one function for each type of record.

Column names are those of the record's fields where both say the same. NaN and infinities are NULL, which all
databases can hold; characters that some of them refuse (NUL) are U+FFFD.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from microservo.catalogue.changes import Change, Details, Gone, Row
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.codec import SchemaError, decode
from schemas.records import (
    AlgorithmDeployment,
    AlgorithmState,
    CampaignEvent,
    CampaignRun,
    ControlEvent,
    Evaluation,
    Experiment,
    FaultEvent,
    FaultSnapshot,
)

LONGEST_KEY = 255
"""Characters of a key that every database can index; longer ones are refused."""

FAULT_TIMES = (
    "requested_at_us",
    "apply_commanded_at_us",
    "applied_at_us",
    "effect_seen_at_us",
    "recovery_commanded_at_us",
    "recovered_at_us",
    "normal_at_us",
)
"""The seven instants of a fault on an instance, in their order."""

_TOMBSTONES = {
    catalogue.EXPERIMENTS: ("runs",),
    catalogue.FAULTS: ("listed_faults",),
    catalogue.ALGORITHMS: ("algorithms",),
    catalogue.ALGORITHM_STATES: ("algorithm_states",),
    catalogue.CAMPAIGNS: ("campaigns",),
    catalogue.EVALUATIONS: ("evaluations",),
}
"""By topic, the table that a message without a value deletes from."""

TOPICS = (
    *_TOMBSTONES,
    catalogue.FAULT_EVENTS,
    catalogue.CAMPAIGN_EVENTS,
    catalogue.CONTROL_EVENTS,
    catalogue.SYSTEM_STATE,
)
"""All that is projected, by logical name."""


def changes_of(topic: str, key: bytes | None, value: bytes | None) -> list[Change]:
    """What a message does to the rows; nothing where its record is none of ours.

    Args:
        topic: logical name; not `system-state`, whose changes are judged before they count.
        key: of the message.
        value: None for a tombstone.

    Raises:
        InvalidMessage: it can't be read, or holds a key that no database can index.
    """
    if value is None:
        return _gone(topic, (key or b"").decode("utf-8", "replace"))
    try:
        record = decode(value)
    except SchemaError as error:
        raise InvalidMessage(str(error)) from error
    rows_of = _MAPPINGS.get(type(record))
    return [] if rows_of is None else [_checked(change) for change in rows_of(record, value)]


def _gone(topic: str, key: str) -> list[Change]:
    found: list[Change] = [Gone(table=table, key=(key,)) for table in _TOMBSTONES.get(topic, ())]
    if topic == catalogue.EVALUATIONS:
        found.append(Details(table="evaluation_metrics", parent=key, rows={}))
    return found


def _run(record: Experiment, value: bytes) -> list[Change]:
    columns = ("status", "seed", "target", "started_at_us", "finished_at_us", "fault_free_until_us")
    values = {**_columns(record, *columns, "topology_sha256"), "record": value}
    return [Row(table="runs", key=(record.run_id,), values=values)]


def _fault(record: FaultEvent, value: bytes) -> list[Change]:
    of_fault = _columns(
        record, "run_id", "kind", "service", "origin", "severity", "requested_at_us", "duration_us", "verdict"
    )
    of_instance = _columns(
        record,
        *("state", "at_us", *FAULT_TIMES),
        *("applied_within_us", "effect_seen_within_us", "recovered_within_us", "normal_within_us"),
        *("acted", "verdict", "apply_evidence", "recovery_evidence", "effect_evidence", "reason"),
    )
    version, fault_id = record.version, record.fault_id
    parameters = {name: {"value": text(each)} for name, each in record.parameters.items()}
    return [
        # First, for it counts only where the row of the fault does.
        Details(table="fault_parameters", parent=fault_id, rows=parameters, of="faults", version=version),
        Row(table="faults", key=(fault_id,), values={**of_fault, "version": version}, version=version),
        Row(
            table="fault_instances",
            key=(fault_id, record.instance),
            values={**of_instance, "version": version, "record": value},
            version=version,
        ),
    ]


def _listed(record: FaultSnapshot, _: bytes) -> list[Change]:
    return [Row(table="listed_faults", key=(record.fault_id,), values={"version": record.version})]


def _algorithm(record: AlgorithmDeployment, value: bytes) -> list[Change]:
    columns = ("version", "task", "title", "declaration", "source", "threshold", "alarms_per_hour")
    flags = ("is_fenced", "is_control", "is_wanted", "deployed_at_us")
    values = {**_columns(record, *columns, *flags), "record": value}
    return [Row(table="algorithms", key=(record.algorithm,), values=values)]


def _algorithm_state(record: AlgorithmState, value: bytes) -> list[Change]:
    columns = ("algorithm", "algorithm_version", "run_id", "phase", "reason", "restarts", "windows")
    costs = ("cpu_us", "peak_memory_bytes", "latency_p50_us", "latency_p99_us", "updated_at_us")
    values = {**_columns(record, *columns, *costs), "record": value}
    return [Row(table="algorithm_states", key=(record.deployment_id,), values=values)]


def _evaluation(record: Evaluation, _: bytes) -> list[Change]:
    columns = ("scenario", "run_id", "algorithm", "algorithm_version", "task", "is_control", "is_fenced")
    counts = ("is_final", "windows", "scored", "cases", "cpu_us", "peak_memory_bytes", "updated_at_us")
    metrics = {
        name: {"value": _number(value), "low": _number(low), "high": _number(high)}
        for name, value, low, high in zip(
            record.metrics, record.values, record.lows, record.highs, strict=True
        )
    }
    key = record.evaluation_id
    return [
        Row(table="evaluations", key=(key,), values=_columns(record, *columns, *counts)),
        Details(table="evaluation_metrics", parent=key, rows=metrics),
    ]


def _campaign(record: CampaignRun, _: bytes) -> list[Change]:
    columns = ("name", "seed", "run_id", "plan", "plan_sha256", "state", "faults", "faults_over")
    ends = ("started_at_us", "updated_at_us", "reason")
    return [Row(table="campaigns", key=(record.campaign_id,), values=_columns(record, *columns, *ends))]


def _campaign_event(record: CampaignEvent, _: bytes) -> list[Change]:
    if not record.fault_id:
        return []
    values = {"step": record.step}
    return [Row(table="campaign_faults", key=(record.campaign_id, record.fault_id), values=values)]


def _decision(record: ControlEvent, _: bytes) -> list[Change]:
    columns = ("entity", "manager", "action", "rule", "command_id", "service", "container")
    places = ("from_host", "to_host", "state", "at_us", "reason")
    compared = {name: _number(value) for name, value in zip(record.fields, record.values, strict=True)}
    step = {"at_us": record.at_us, "reason": text(record.reason), "compared": json.dumps(compared)}
    return [
        Row(table="decisions", key=(record.decision_id,), values=_columns(record, *columns, *places)),
        Row(table="decision_steps", key=(record.decision_id, record.state), values=step),
    ]


_MAPPINGS: Mapping[type, Callable[[Any, bytes], Sequence[Change]]] = {
    Experiment: _run,
    FaultEvent: _fault,
    FaultSnapshot: _listed,
    AlgorithmDeployment: _algorithm,
    AlgorithmState: _algorithm_state,
    Evaluation: _evaluation,
    CampaignRun: _campaign,
    CampaignEvent: _campaign_event,
    ControlEvent: _decision,
}


def _columns(record: Any, *names: str) -> dict[str, object]:
    assert set(names) <= {each.name for each in fields(record)}, names
    return {name: column(getattr(record, name)) for name in names}


def column(value: object) -> object:
    """A value as every database can hold it."""
    if isinstance(value, str):
        return text(value)
    return _number(value) if isinstance(value, float) else value


def text(value: str) -> str:
    """Text without what some databases refuse."""
    return value.replace("\0", "\ufffd")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _checked(change: Change) -> Change:
    keys: Iterable[str] = (change.parent, *change.rows) if isinstance(change, Details) else change.key
    check_keys(keys)
    return change


def check_keys(keys: Iterable[str]) -> None:
    """Refuses what can't be a key in every database.

    Raises:
        InvalidMessage: one is too long, or has a character that some refuse.
    """
    for key in keys:
        if len(key) > LONGEST_KEY or "\0" in key:
            msg = f"{key[:40]!r}... is no key; expected up to {LONGEST_KEY} characters, none of them NUL"
            raise InvalidMessage(msg)
