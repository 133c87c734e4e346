"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COLLATION = {"charset": "utf8mb4", "collation": "utf8mb4_nopad_bin"}
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "key": sa.String(255).with_variant(mysql.VARCHAR(255, **_COLLATION), "mysql", "mariadb"),
    "text": sa.Text().with_variant(mysql.LONGTEXT(**_COLLATION), "mysql", "mariadb"),
    "bytes": sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
    "number": sa.BigInteger(),
    "double": sa.Double(),
    "flag": sa.Boolean(),
}
# Written out, and not taken from the tables as they are now: what this makes never changes. Behind the type,
# `!` is for columns of the primary key, and `+` for others that are never NULL.
_TABLES = {
    "runs": (
        "run_id:key! status:text target:text topology_sha256:text seed:number "
        "started_at_us:number finished_at_us:number fault_free_until_us:number record:bytes+"
    ),
    "faults": (
        "fault_id:key! run_id:key kind:text service:text origin:text verdict:text "
        "version:number requested_at_us:number duration_us:number severity:double"
    ),
    "fault_instances": (
        "fault_id:key! instance:key! state:text verdict:text apply_evidence:text "
        "recovery_evidence:text effect_evidence:text reason:text version:number at_us:number "
        "acted:number requested_at_us:number apply_commanded_at_us:number applied_at_us:number "
        "effect_seen_at_us:number recovery_commanded_at_us:number recovered_at_us:number "
        "normal_at_us:number applied_within_us:number effect_seen_within_us:number "
        "recovered_within_us:number normal_within_us:number record:bytes+"
    ),
    "fault_parameters": "fault_id:key! name:key! value:text",
    "listed_faults": "fault_id:key! version:number",
    "algorithms": (
        "algorithm:key! version:number deployed_at_us:number task:text title:text "
        "declaration:text source:text threshold:double alarms_per_hour:double is_fenced:flag "
        "is_control:flag is_wanted:flag record:bytes+"
    ),
    "algorithm_states": (
        "deployment_id:key! algorithm:text run_id:text phase:text reason:text "
        "algorithm_version:number restarts:number windows:number cpu_us:number "
        "peak_memory_bytes:number latency_p50_us:number latency_p99_us:number "
        "updated_at_us:number record:bytes+"
    ),
    "evaluations": (
        "evaluation_id:key! scenario:text run_id:text algorithm:text task:text "
        "algorithm_version:number windows:number scored:number cases:number cpu_us:number "
        "peak_memory_bytes:number updated_at_us:number is_control:flag is_fenced:flag "
        "is_final:flag"
    ),
    "evaluation_metrics": "evaluation_id:key! metric:key! value:double low:double high:double",
    "campaigns": (
        "campaign_id:key! name:text run_id:text plan:text plan_sha256:text state:text "
        "reason:text seed:number faults:number faults_over:number started_at_us:number "
        "updated_at_us:number"
    ),
    "campaign_faults": "campaign_id:key! fault_id:key! step:number",
    "decisions": (
        "decision_id:key! entity:text manager:text action:text rule:text command_id:text "
        "service:text container:text from_host:text to_host:text state:text reason:text "
        "at_us:number"
    ),
    "decision_steps": "decision_id:key! state:key! at_us:number reason:text compared:text",
    "entities": (
        "entity:key! kind:text name:text owner:text document:text version:number epoch:number "
        "updated_at_us:number"
    ),
    "apps": "app:key! description:text",
    "app_services": "app:key! service:key! launch_order:number",
    "services": (
        "service:key! image:text type:text minimum_replicas:number maximum_replicas:number "
        "memory_bytes:double cores:double disk_bytes:double"
    ),
    "hosts": (
        "host:key! place:text region:text state:text worker:text latitude:double "
        "longitude:double memory_bytes:double cores:double disk_bytes:double"
    ),
    "containers": (
        "container:key! service:text host:text state:text region:text managed_by:text "
        "latitude:double longitude:double started_at_us:number"
    ),
    "projected_offsets": "topic:key! partition_number:number! next_offset:number+",
    "projected_log": "log_id:key!",
    "judged_changes": (
        "entity:key! version:number epoch:number updated_at_us:number life_us:number "
        "owner:text writer:text base:text corrects:text document:text"
    ),
    "writer_lives": "writer:key! life_us:number",
}


def upgrade() -> None:
    for name, columns in _TABLES.items():
        op.create_table(name, *map(_column, columns.split()), if_not_exists=True)
    op.create_index("faults_by_run", "faults", ["run_id"], if_not_exists=True)


def downgrade() -> None:
    for name in _TABLES:
        op.drop_table(name, if_exists=True)


def _column(spelled: str) -> sa.Column[Any]:
    name, kind = spelled.split(":")
    is_key, is_needed = kind.endswith("!"), kind.endswith(("!", "+"))
    return sa.Column(
        name, _TYPES[kind.rstrip("!+")], primary_key=is_key, nullable=not is_needed, autoincrement=False
    )
