"""Which rows a change on `system-state` makes: pure. A change counts only if all readers accept it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from microservo.catalogue.changes import Change, Details, Gone, Row
from microservo.catalogue.mapping import check_keys, column, text
from microservo.domain.manager.changes import Change as EntityChange
from microservo.domain.manager.changes import accept, says_life

_COLUMNS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "app": ("apps", ("description",)),
    "service": (
        "services",
        ("image", "type", "minimum_replicas", "maximum_replicas", "memory_bytes", "cores", "disk_bytes"),
    ),
    "host": (
        "hosts",
        (
            "place",
            "region",
            "state",
            "latitude",
            "longitude",
            "memory_bytes",
            "cores",
            "disk_bytes",
            "worker",
        ),
    ),
    "container": (
        "containers",
        ("service", "host", "state", "region", "latitude", "longitude", "managed_by", "started_at_us"),
    ),
}
"""By kind of entity, its table and the fields that have a column of it."""


class EntityJudge:
    """Judges changes as every reader of the topic does (`microservo.domain.manager.changes`).

    Args:
        held: what holds of the entities that are to be judged, deletions too.
        lives: the newest life of each writer.

    Attributes:
        held, lives: likewise, after what was read.
    """

    def __init__(self, held: Mapping[str, EntityChange], lives: Mapping[str, int]) -> None:
        self.held = dict(held)
        self.lives = dict(lives)

    def read(self, change: EntityChange) -> list[Change]:
        """What the next message does to the rows; nothing if it is refused.

        Raises:
            InvalidMessage: its key is one that no database can index.
        """
        newest_us = self.lives.get(change.writer, 0)
        self.lives[change.writer] = max(newest_us, change.life_us)
        check_keys((change.entity, change.writer))
        found: list[Change] = [_life(change.writer, self.lives[change.writer])]
        if says_life(change):
            return found
        current = self.held.get(change.entity)
        judgement = accept(current, change, newest_life_us=newest_us)
        if judgement.outcome == "refused":
            return found
        # What only says again what holds has its own time; the newest message is all that compaction keeps.
        newest = current if judgement.outcome == "known" and current and current.is_deletion else change
        self.held[change.entity] = newest
        return [*found, _held(newest), *rows_of(newest)]


def rows_of(change: EntityChange) -> Iterable[Change]:
    """The rows of an entity as a change leaves it."""
    kind, _, name = change.entity.partition("/")
    table, columns = _COLUMNS.get(kind, ("", ()))
    if change.document is None:
        yield Gone(table="entities", key=(change.entity,))
        if table:
            yield Gone(table=table, key=(name,))
        if kind == "app":
            yield Details(table="app_services", parent=name, rows={})
        return
    values = {each: column(getattr(change, each)) for each in ("owner", "version", "epoch", "updated_at_us")}
    values |= {"kind": kind, "name": text(name), "document": text(change.document)}
    yield Row(table="entities", key=(change.entity,), values=values)
    document = _document(change.document)
    if table:
        yield Row(table=table, key=(name,), values={each: column(document.get(each)) for each in columns})
    if kind == "app":
        services = {
            each["service"]: {"launch_order": each.get("launch_order", 0)} for each in _services(document)
        }
        yield Details(table="app_services", parent=name, rows=services)


def _services(document: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found = document.get("services", ())
    return [each for each in found if isinstance(each, dict) and isinstance(each.get("service"), str)]


def _document(source: str) -> Mapping[str, Any]:
    try:
        found = json.loads(source)
    except ValueError:
        return {}  # `entities` has it as it is
    return found if isinstance(found, dict) else {}


def _held(change: EntityChange) -> Row:
    """What the next message is judged by."""
    names = (
        "version",
        "epoch",
        "owner",
        "writer",
        "updated_at_us",
        "base",
        "corrects",
        "life_us",
        "document",
    )
    return Row(
        table="judged_changes", key=(change.entity,), values={name: getattr(change, name) for name in names}
    )


def _life(writer: str, life_us: int) -> Row:
    return Row(table="writer_lives", key=(writer,), values={"life_us": life_us})
