"""All rows of a catalogue, to be held against those of another one."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, select

from microservo.catalogue.tables import METADATA, OWN


def rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """The rows of each table, by key, in an order that is the same on every database."""
    with engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in METADATA.sorted_tables
            if table not in OWN
        }


def differences(first: Engine, second: Engine) -> Iterator[str]:
    """A sentence for each table that is not the same in both."""
    theirs = rows(second)
    for name, ours in rows(first).items():
        if ours != theirs[name]:
            only = len({*ours} - {*theirs[name]}), len({*theirs[name]} - {*ours})
            yield f"{name}: {only[0]} rows are only in the first, {only[1]} only in the second"
