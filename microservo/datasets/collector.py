"""Collects what goes into a dataset as it is: faults, scores, the service graph, and the ledger's counts.

However much it is, little of it is in memory: it waits on disk, and tables are made of ten minutes at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import TypeAdapter

from microservo.adapters.broker import Message
from microservo.datasets.actions import actions_table
from microservo.datasets.facts import (
    graph_table,
    instances_table,
    ledger_table,
    scores_table,
)
from microservo.datasets.faults import (
    effect_intervals_table,
    effects_table,
    fault_events_table,
    faults_table,
)
from microservo.datasets.spool import Spool
from microservo.domain.datasets.ledger import COUNTS, LedgerRow
from schemas import catalogue
from schemas.codec import SchemaError, decode, decode_as
from schemas.records import (
    AnomalyScore,
    FaultEffect,
    FaultEvent,
    FaultVerdict,
    ServiceAction,
    ServiceFault,
    ServiceGraph,
    ServiceInstance,
    TelemetryLoss,
)

Fact = FaultEvent | ServiceGraph | ServiceInstance | AnomalyScore | TelemetryLoss
_LEDGER, _ACTIONS = "ledger", "actions"
_LEDGER_ROW = TypeAdapter(LedgerRow)


class _Kind(NamedTuple):
    """A topic's record, and the field that says when it was; rows of its tables are sorted by that first."""

    record: type[Fact]
    at: str
    tables: dict[str, Callable[[Iterable[Any]], pa.Table]]


KINDS: dict[str, _Kind] = {
    catalogue.FAULT_EVENTS: _Kind(
        FaultEvent,
        "requested_at_us",
        {
            "fault_events.parquet": fault_events_table,
            "faults.parquet": faults_table,
            "effects.parquet": effects_table,
            "effect_intervals.parquet": effect_intervals_table,
        },
    ),
    catalogue.SERVICE_GRAPH: _Kind(ServiceGraph, "start_us", {"graph.parquet": graph_table}),
    catalogue.SERVICE_INSTANCES: _Kind(ServiceInstance, "seen_us", {"instances.parquet": instances_table}),
    catalogue.ANOMALY_SCORES: _Kind(AnomalyScore, "start_us", {"scores.parquet": scores_table}),
    # The ledger has them.
    catalogue.TELEMETRY_LOSSES: _Kind(TelemetryLoss, "minute_us", {}),
}


class FactCollector:
    """The facts of one run.

    Args:
        run_id: the run; records of others are passed over.
        prefix: put before every topic name.
        folder: for what waits; must be there.
    """

    def __init__(self, run_id: str, prefix: str, folder: Path) -> None:
        self._run_id = run_id
        self._prefix = prefix
        self._spools = {name: _spool(folder / name) for name in (*KINDS, _ACTIONS, _LEDGER)}
        self._requested_us: dict[str, int] = {}
        self.totals = {topic: {"records": 0, "unreadable": 0} for topic in KINDS}

    def add_messages(self, messages: Iterable[Message]) -> None:
        """Adds messages of the topics that `KINDS` names."""
        for message in messages:
            topic = message.topic.removeprefix(self._prefix)
            kind, value = KINDS[topic], message.value or b""
            record = _record(value)
            if not isinstance(record, kind.record):
                self.totals[topic]["unreadable"] += 1
            elif record.run_id == self._run_id:
                self.totals[topic]["records"] += 1
                if isinstance(record, TelemetryLoss):
                    self.add_ledger_rows([_lost(record)])
                    continue
                self._spools[topic].add(getattr(record, kind.at), value)
                if isinstance(record, FaultEvent):
                    self._requested_us[record.fault_id] = record.requested_at_us

    def add_faults(self, values: Iterable[bytes]) -> None:
        """Adds values of the joined topics about faults, after all messages of `add_messages`.

        What is said of a fault waits with the fault's own story, so that its tables tell of all of it.
        """
        for value in values:
            record = _record(value)
            assert isinstance(record, ServiceFault | FaultEffect | FaultVerdict)
            self._spools[catalogue.FAULT_EVENTS].add(self._requested_us.get(record.fault_id, 0), value)

    def add_actions(self, values: Iterable[bytes]) -> None:
        """Adds values of the joined topic about acts of placement."""
        for value in values:
            self._spools[_ACTIONS].add(_action(value).decided_us, value)

    def add_ledger_rows(self, rows: Iterable[LedgerRow]) -> None:
        """Adds counts of the ledger; those of the same place are added up."""
        for row in rows:
            self._spools[_LEDGER].add(row.minute_us, _LEDGER_ROW.dump_json(row))

    def tables(self) -> Iterator[tuple[str, Iterator[pa.Table]]]:
        """The rows of each file by its name, in order, some at a time."""
        for topic, kind in KINDS.items():
            for name, table in kind.tables.items():
                yield name, (table(map(decode, values)) for values in self._spools[topic])
        yield "actions.parquet", (actions_table(map(_action, values)) for values in self._spools[_ACTIONS])
        yield (
            "ledger.parquet",
            (ledger_table(map(_LEDGER_ROW.validate_json, values)) for values in self._spools[_LEDGER]),
        )


def _lost(loss: TelemetryLoss) -> LedgerRow:
    counts = dict.fromkeys(COUNTS, 0) | {"lost": loss.records}
    return LedgerRow(source=loss.source, service=loss.service, minute_us=loss.minute_us, **counts)


def _action(value: bytes) -> ServiceAction:
    return decode_as(ServiceAction, value)


def _spool(folder: Path) -> Spool:
    folder.mkdir()
    return Spool(folder)


def _record(value: bytes) -> object:
    try:
        return decode(value)
    except SchemaError:
        return None
