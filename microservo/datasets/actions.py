"""The table of what managers did: one row for each act of placement, as it was told last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import pyarrow as pa

from microservo.datasets.facts import table_of
from microservo.datasets.tables import ACTIONS
from schemas.codec import encode
from schemas.records import ServiceAction

_INSTANTS = ("decided", "begun", "serving", "ended")


def actions_table(actions: Iterable[ServiceAction]) -> pa.Table:
    """One row per act, by its highest version, in order of decision and service; of equals the same one."""
    newest: dict[tuple[str, str], ServiceAction] = {}
    for each in actions:
        key = (each.service, each.decision_id)
        newest[key] = max(each, newest.get(key, each), key=_rank)
    ordered = sorted(newest.values(), key=lambda each: (each.decided_us, each.service, each.decision_id))
    return table_of(ACTIONS, map(_row, ordered))


def _rank(action: ServiceAction) -> tuple[int, bytes]:
    return action.version, encode(action)


def _row(action: ServiceAction) -> dict[str, object]:
    fields = asdict(action)
    return fields | {f"{name}_at": fields[f"{name}_us"] for name in _INSTANTS}
