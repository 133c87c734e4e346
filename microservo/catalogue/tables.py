"""The schema.

Instants are microseconds UTC, durations microseconds; `record` is the message's value as it lies on the
topic, from which lists give back the very record that a scan would.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql

from microservo.catalogue.mapping import LONGEST_KEY

METADATA = MetaData()

# MariaDB's own texts ignore case and trailing spaces, and hold 64 KiB.
_COLLATION = {"charset": "utf8mb4", "collation": "utf8mb4_nopad_bin"}
KEY = String(LONGEST_KEY).with_variant(mysql.VARCHAR(LONGEST_KEY, **_COLLATION), "mysql", "mariadb")
TEXT = Text().with_variant(mysql.LONGTEXT(**_COLLATION), "mysql", "mariadb")
BYTES = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NUMBER = BigInteger()
DOUBLE: Double[float] = Double()
FLAG = Boolean()


def _key(name: str) -> Column[str]:
    return Column(name, KEY, primary_key=True)


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, TEXT) for name in names]


def _numbers(*names: str) -> list[Column[int]]:
    return [Column(name, NUMBER) for name in names]


def _doubles(*names: str) -> list[Column[float]]:
    return [Column(name, DOUBLE) for name in names]


def _flags(*names: str) -> list[Column[bool]]:
    return [Column(name, FLAG) for name in names]


def _record() -> Column[bytes]:
    return Column("record", BYTES, nullable=False)


Table(
    "runs",
    METADATA,
    _key("run_id"),
    *_texts("status", "target", "topology_sha256"),
    *_numbers("seed", "started_at_us", "finished_at_us", "fault_free_until_us"),
    _record(),
)
Table(
    "faults",
    METADATA,
    _key("fault_id"),
    Column("run_id", KEY),
    *_texts("kind", "service", "origin", "verdict"),
    *_numbers("version", "requested_at_us", "duration_us"),
    *_doubles("severity"),
    Index("faults_by_run", "run_id"),
)
Table(
    "fault_instances",
    METADATA,
    _key("fault_id"),
    _key("instance"),
    *_texts("state", "verdict", "apply_evidence", "recovery_evidence", "effect_evidence", "reason"),
    *_numbers("version", "at_us", "acted"),
    *_numbers(
        "requested_at_us",
        "apply_commanded_at_us",
        "applied_at_us",
        "effect_seen_at_us",
        "recovery_commanded_at_us",
        "recovered_at_us",
        "normal_at_us",
    ),
    *_numbers("applied_within_us", "effect_seen_within_us", "recovered_within_us", "normal_within_us"),
    _record(),
)
Table("fault_parameters", METADATA, _key("fault_id"), _key("name"), *_texts("value"))
# Those that the topic `faults` keeps: all that are open, and those that were closed last.
Table("listed_faults", METADATA, _key("fault_id"), *_numbers("version"))
Table(
    "algorithms",
    METADATA,
    _key("algorithm"),
    *_numbers("version", "deployed_at_us"),
    *_texts("task", "title", "declaration", "source"),
    *_doubles("threshold", "alarms_per_hour"),
    *_flags("is_fenced", "is_control", "is_wanted"),
    _record(),
)
Table(
    "algorithm_states",
    METADATA,
    _key("deployment_id"),
    *_texts("algorithm", "run_id", "phase", "reason"),
    *_numbers("algorithm_version", "restarts", "windows", "cpu_us", "peak_memory_bytes"),
    *_numbers("latency_p50_us", "latency_p99_us", "updated_at_us"),
    _record(),
)
Table(
    "evaluations",
    METADATA,
    _key("evaluation_id"),
    *_texts("scenario", "run_id", "algorithm", "task"),
    *_numbers("algorithm_version", "windows", "scored", "cases"),
    *_numbers("cpu_us", "peak_memory_bytes", "updated_at_us"),
    *_flags("is_control", "is_fenced", "is_final"),
)
Table(
    "evaluation_metrics", METADATA, _key("evaluation_id"), _key("metric"), *_doubles("value", "low", "high")
)
Table(
    "campaigns",
    METADATA,
    _key("campaign_id"),
    *_texts("name", "run_id", "plan", "plan_sha256", "state", "reason"),
    *_numbers("seed", "faults", "faults_over", "started_at_us", "updated_at_us"),
)
Table("campaign_faults", METADATA, _key("campaign_id"), _key("fault_id"), *_numbers("step"))
Table(
    "decisions",
    METADATA,
    _key("decision_id"),
    *_texts("entity", "manager", "action", "rule", "command_id", "service", "container"),
    *_texts("from_host", "to_host", "state", "reason"),
    *_numbers("at_us"),
)
Table(
    "decision_steps",
    METADATA,
    _key("decision_id"),
    _key("state"),
    *_numbers("at_us"),
    *_texts("reason", "compared"),
)
Table(
    "entities",
    METADATA,
    _key("entity"),
    *_texts("kind", "name", "owner", "document"),
    *_numbers("version", "epoch", "updated_at_us"),
)
Table("apps", METADATA, _key("app"), *_texts("description"))
Table("app_services", METADATA, _key("app"), _key("service"), *_numbers("launch_order"))
Table(
    "services",
    METADATA,
    _key("service"),
    *_texts("image", "type"),
    *_numbers("minimum_replicas", "maximum_replicas"),
    *_doubles("memory_bytes", "cores", "disk_bytes"),
)
Table(
    "hosts",
    METADATA,
    _key("host"),
    *_texts("place", "region", "state", "worker"),
    *_doubles("latitude", "longitude", "memory_bytes", "cores", "disk_bytes"),
)
Table(
    "containers",
    METADATA,
    _key("container"),
    *_texts("service", "host", "state", "region", "managed_by"),
    *_doubles("latitude", "longitude"),
    *_numbers("started_at_us"),
)

# What the projection itself keeps, in the same transactions.
PROJECTED = Table(
    "projected_offsets",
    METADATA,
    _key("topic"),
    Column("partition_number", NUMBER, primary_key=True, autoincrement=False),
    Column("next_offset", NUMBER, nullable=False),
)
LOG = Table("projected_log", METADATA, _key("log_id"))
JUDGED = Table(
    "judged_changes",
    METADATA,
    _key("entity"),
    *_numbers("version", "epoch", "updated_at_us", "life_us"),
    *_texts("owner", "writer", "base", "corrects", "document"),
)
LIVES = Table("writer_lives", METADATA, _key("writer"), *_numbers("life_us"))

OWN = (PROJECTED, LOG, JUDGED, LIVES)
"""Tables that are no projection of records: two catalogues of one log may differ in them."""
