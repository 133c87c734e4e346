"""The topics of the contract as values; each is one file in `topics/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from schemas.files import topic_files

Kind = Literal["command", "fact", "state"]

DEAD_LETTER_SUFFIX = "-dlq"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_FOREVER = "forever"
_NEWEST = "newest"
_DAY_MS = 24 * 60 * 60 * 1000
_COMMON = {"max.message.bytes": str(MAX_MESSAGE_BYTES), "message.timestamp.type": "CreateTime"}
_COMPACTED = {
    "cleanup.policy": "compact",
    # Only closed segments are compacted, and only once a tenth is superseded: the smallest segments, closed
    # early, keep what a reader has to go through close to what is in force.
    "segment.bytes": str(MAX_MESSAGE_BYTES),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    # Who reads a state from its beginning is done within seconds, and so has seen what was deleted meanwhile.
    "delete.retention.ms": "60000",
}
_WHOLE = ("min.compaction.lag.ms", "delete.retention.ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a record is as a CloudEvent; on a joined topic its stamp says both.

    Attributes:
        id: fields that identify it; none where key and content do.
        time: field of its time; empty where that is when it was published.
    """

    id: tuple[str, ...] = ()
    time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic of the contract, as its file says.

    Attributes:
        name: logical name, which is the file's; a deployment may put a prefix before it.
        purpose: what lies on it, in a sentence.
        kind: command (a request), fact (it happened; never changes) or state (the newest value per key).
        key: field of its records that is the key of their messages.
        retention: `forever`; `newest`, which is the newest message of each key, and one without a value
            deletes; or an age in days, `30d`.
        records: names of the records that may lie on it, and what each is as an event.
        producers: processes and packages of this repository that write it.
        consumers: those that read it; `datasets` is the rebuild, in any process.
        partitions: how many; None for as many as the deployment wants, the same for all, so that joined
            topics are co-partitioned.
        joined: whether every message is stamped, for the join by event time.
        dead_letters: whether there is a topic beside it for what can't be read.
        kept_whole: of a state, for how long messages stay that were superseded, and those that delete; an
            age in days, `2d`. Empty for as long as a reader of the whole topic takes.
    """

    name: str
    purpose: str
    kind: Kind
    key: str
    retention: str
    records: Mapping[str, Event]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int | None = None
    joined: bool = False
    dead_letters: bool = False
    kept_whole: str = ""

    def physical(self, prefix: str = "") -> str:
        """The name on the broker."""
        return prefix + self.name

    @property
    def config(self) -> Mapping[str, str]:
        """The broker's settings for this topic."""
        whole_ms = {} if not self.kept_whole else {name: str(_age_ms(self.kept_whole)) for name in _WHOLE}
        return {**_retention_config(self.retention), **whole_ms, **_COMMON}

    @property
    def dead_letter_config(self) -> Mapping[str, str]:
        """The broker's settings for the topic of its dead letters: kept as long, but never compacted."""
        kept = _retention_config(_FOREVER if self.retention == _NEWEST else self.retention)
        return {"cleanup.policy": "delete", **kept, **_COMMON}


def _retention_config(retention: str) -> Mapping[str, str]:
    if retention == _NEWEST:
        return _COMPACTED
    if retention == _FOREVER:
        return {"retention.ms": "-1"}
    return {"retention.ms": str(_age_ms(retention))}


def _age_ms(age: str) -> int:
    if days := re.fullmatch(r"(\d+)d", age):
        return int(days[1]) * _DAY_MS
    msg = f"retention {age!r}; expected {_FOREVER!r}, {_NEWEST!r} or an age in days like '30d'"
    raise ValueError(msg)


@cache
def catalogue() -> dict[str, Topic]:
    """Every topic by its logical name, in alphabetical order."""
    return {name: _topic(name, entry) for name, entry in topic_files().items()}


def topic_of(record: str) -> Topic:
    """The topic that a record lies on, by the record's name, for example "fault_request".

    Raises:
        KeyError: there is no such record.
    """
    return _topics_by_record()[record]


@cache
def _topics_by_record() -> dict[str, Topic]:
    return {record: topic for topic in catalogue().values() for record in topic.records}


def _topic(name: str, entry: Mapping[str, Any]) -> Topic:
    events = {
        record: Event(id=tuple(event.get("id", ())), time=event.get("time", ""))
        for record, event in entry["records"].items()
    }
    lists = {field: tuple(entry[field]) for field in ("producers", "consumers")}
    return Topic(name=name, **{**entry, **lists, "records": events})


FAULT_REQUESTS = "fault-requests"
FAULT_EVENTS = "fault-events"
FAULTS = "faults"
FAULT_SCHEDULES = "fault-schedules"
SCHEDULE_PROGRESS = "schedule-progress"
CAMPAIGNS = "campaigns"
CAMPAIGN_EVENTS = "campaign-events"
SERVICE_FAULTS = "service-faults"
SERVICE_GRAPH = "service-graph"
SERVICE_INSTANCES = "service-instances"
TELEMETRY_METRICS = "telemetry-metrics"
TELEMETRY_LOGS = "telemetry-logs"
TELEMETRY_TRACES = "telemetry-traces"
TELEMETRY_LOSSES = "telemetry-losses"
FAULT_EFFECTS = "fault-effects"
SERVICE_ACTIONS = "service-actions"
FEATURE_WINDOWS = "feature-windows"
LABELLED_WINDOWS = "labelled-windows"
ANOMALY_SCORES = "anomaly-scores"
ALGORITHMS = "algorithms"
ALGORITHM_FILES = "algorithm-files"
ALGORITHM_STATES = "algorithm-states"
ALARMS = "alarms"
CASES = "cases"
EVALUATIONS = "evaluations"
EVALUATION_REQUESTS = "evaluation-requests"
EVALUATION_TASKS = "evaluation-tasks"
ROOT_CAUSES = "root-causes"
FAILURE_CLASSES = "failure-classes"
SOURCE_CURSORS = "source-cursors"
COLLECTED_MINUTES = "collected-minutes"
EXPERIMENTS = "experiments"
SYSTEM_STATE = "system-state"
CONTROL_COMMANDS = "control-commands"
CONTROL_EVENTS = "control-events"
MANAGER_HEARTBEATS = "manager-heartbeats"
MANAGER_INPUTS = "manager-inputs"
REGISTRATIONS = "registrations"
REQUEST_LOCATIONS = "request-locations"
