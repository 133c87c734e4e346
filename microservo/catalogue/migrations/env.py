"""Read by Alembic: migrations run on the connection that they are given."""

from __future__ import annotations

from alembic import context

from microservo.catalogue.tables import METADATA

_given = context.config.attributes
context.configure(
    connection=_given["connection"],
    version_table=_given["version_table"],
    target_metadata=METADATA,
    # All or none, where the database can: SQLite and PostgreSQL. On MariaDB each step bears repeating.
    transactional_ddl=_given["connection"].dialect.name not in {"mysql", "mariadb"},
)
with context.begin_transaction():
    context.run_migrations()
