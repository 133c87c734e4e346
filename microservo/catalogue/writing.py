"""Writing what a batch of messages comes to, in one transaction together with how far it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Insert, Table, and_, bindparam, delete, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from microservo.catalogue.changes import Change, Fold, Key, Row, versioned_keys
from microservo.catalogue.tables import JUDGED, LIVES, METADATA, PROJECTED
from microservo.domain.manager.changes import Change as EntityChange

Place = tuple[str, int]
"""A partition: its topic's logical name, and its number."""
_AT_ONCE = 500
"""Keys in one question; SQLite takes no more than a few thousand values, and two make a key."""


def write(connection: Connection, changes: Sequence[Change]) -> None:
    """Brings the rows to what the changes say, in the order of the log."""
    fold = Fold(known=_versions(connection, versioned_keys(changes)))
    fold.add(changes)
    for name, rows in fold.rows.items():
        table = METADATA.tables[name]
        _delete(connection, table, [key for key, row in rows.items() if row is None])
        _upsert(connection, table, [_values(table, row) for row in rows.values() if row is not None])
    for name, by_parent in fold.details.items():
        table = METADATA.tables[name]
        parent, detail = table.primary_key.columns
        for some in _parts(list(by_parent)):
            connection.execute(delete(table).where(parent.in_(some)))
        _upsert(
            connection,
            table,
            [
                {parent.name: key, detail.name: each, **values}
                for key, rows in by_parent.items()
                for each, values in rows.items()
            ],
        )


def offsets(connection: Connection, *, to_write: bool = False) -> dict[Place, int]:
    """The next offset of each partition by what the database holds; locked if it is to change."""
    asked = select(PROJECTED.c.topic, PROJECTED.c.partition_number, PROJECTED.c.next_offset)
    # In one order, so that two who lock don't wait for each other.
    asked = asked.order_by(PROJECTED.c.topic, PROJECTED.c.partition_number)
    found = connection.execute(asked.with_for_update() if to_write else asked)
    return {(topic, partition): offset for topic, partition, offset in found}


def write_offsets(connection: Connection, found: Mapping[Place, int]) -> None:
    """Enters how far partitions were read."""
    rows = [
        {"topic": topic, "partition_number": partition, "next_offset": offset}
        for (topic, partition), offset in found.items()
    ]
    _upsert(connection, PROJECTED, rows)


def held_entities(connection: Connection, names: Iterable[str]) -> dict[str, EntityChange]:
    """What was judged to hold of some entities, deletions too."""
    columns = list(JUDGED.columns)
    return {
        row.entity: EntityChange(**row._mapping)
        for some in _parts(list(names))
        for row in connection.execute(select(*columns).where(JUDGED.c.entity.in_(some)))
    }


def lives(connection: Connection) -> dict[str, int]:
    """The newest life of each writer of entities, microseconds UTC."""
    found = connection.execute(select(LIVES.c.writer, LIVES.c.life_us))
    return {writer: life_us for writer, life_us in found}


def _versions(connection: Connection, wanted: Mapping[str, set[Key]]) -> dict[tuple[str, Key], int]:
    found: dict[tuple[str, Key], int] = {}
    for name, keys in wanted.items():
        table = METADATA.tables[name]
        columns = list(table.primary_key.columns)
        # By the first part of the key: on every database that is one look-up in the index.
        for some in _parts(sorted({key[0] for key in keys})):
            rows = connection.execute(select(*columns, table.c.version).where(columns[0].in_(some)))
            found |= {(name, tuple(row[:-1])): row[-1] for row in rows}
    return found


def _values(table: Table, row: Row) -> dict[str, object]:
    return {**dict(zip(table.primary_key.columns.keys(), row.key, strict=True)), **row.values}


def _delete(connection: Connection, table: Table, keys: Sequence[Key]) -> None:
    if not keys:
        return
    columns = list(table.primary_key.columns)
    asked = delete(table).where(and_(*(each == bindparam(f"old_{each.name}") for each in columns)))
    names = [f"old_{each.name}" for each in columns]
    connection.execute(asked, [dict(zip(names, key, strict=True)) for key in keys])


def _upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        # In the order of their keys, so that two who write the same don't wait for each other.
        keys = table.primary_key.columns.keys()
        ordered = sorted(rows, key=lambda row: tuple(row[each] for each in keys))
        connection.execute(_upsert_of(connection.dialect.name, table), [dict(each) for each in ordered])


def _upsert_of(dialect: str, table: Table) -> Insert:
    keys = table.primary_key.columns.keys()
    names = [each.name for each in table.columns if each.name not in keys]
    if dialect in {"mysql", "mariadb"}:
        into = mysql.insert(table)
        new = {name: into.inserted[name] for name in names or keys[:1]}
        return into.on_duplicate_key_update(new)
    upsert: Any = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    if not names:
        return upsert.on_conflict_do_nothing()  # type: ignore[no-any-return]
    new = {name: upsert.excluded[name] for name in names}
    return upsert.on_conflict_do_update(index_elements=keys, set_=new)  # type: ignore[no-any-return]


def _parts(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    return (keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE))
