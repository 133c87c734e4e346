"""Opening the database of a catalogue, by its URL, and bringing its schema up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from microservo.catalogue.tables import METADATA
from microservo.errors import InvalidInput, Retryable, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mariadb+pymysql",
}
_WAIT_S = 10
_VERSIONS = "catalogue_version"


def place_of(url: str) -> str:
    """A database without what is secret in its URL, for messages."""
    parsed = _parsed(url)
    where = f"{parsed.host or ''}{'' if parsed.port is None else f':{parsed.port}'}"
    return f"{parsed.get_backend_name()}://{where}/{parsed.database or ''}"


def open_engine(url: str, *, wait_s: int = _WAIT_S, reads_only: bool = False) -> Engine:
    """The engine of a URL; nothing is connected yet.

    Args:
        url: of the database.
        wait_s: seconds to wait for a connection, at least 2, or for another writer to SQLite.
        reads_only: for who makes nothing: a file of SQLite that is not there stays so.

    Raises:
        InvalidInput: it names no database that a catalogue can be in.
        Unavailable: its driver is not installed.
    """
    parsed = _parsed(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed, wait_s, reads_only=reads_only)
    parsed = parsed.set(drivername=_DRIVERS[backend])
    waits: dict[str, Any] = {"connect_timeout": wait_s}
    if backend != "postgresql":
        waits |= {"charset": "utf8mb4", "read_timeout": 6 * wait_s, "write_timeout": 6 * wait_s}
    try:
        # Errors quote statements; what is in the rows is nobody's business there.
        return create_engine(
            parsed,
            hide_parameters=True,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
            connect_args=waits,
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        msg = f"the driver of {backend} is not installed; add it with `pip install 'microservo[catalogue]'`"
        raise Unavailable(msg) from None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    # Not from the error, and without the URL: there may be a password in it.
    if parsed is None or parsed.get_backend_name() not in _DRIVERS:
        msg = (
            "MICROSERVO_CATALOGUE_URL names no database; expected sqlite:////folder/file, "
            "postgresql://user:password@host/name or mariadb://user:password@host/name"
        )
        raise InvalidInput(msg)
    return parsed


def _sqlite(parsed: URL, wait_s: int, *, reads_only: bool) -> Engine:
    if not parsed.database or parsed.database == ":memory:":
        msg = "a catalogue in memory would be seen by nobody else; name a file, as sqlite:////folder/file"
        raise InvalidInput(msg)
    # By `rwc` the file is made by whoever looks for it first; `ro` can't read the log that is written ahead.
    file = f"file:{quote(str(Path(parsed.database).absolute()))}?mode={'rw' if reads_only else 'rwc'}"

    def connect() -> sqlite3.Connection:
        # Python's own transactions leave statements that change the schema outside.
        return sqlite3.connect(file, uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False)

    engine = create_engine(parsed, hide_parameters=True, creator=connect)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        if not reads_only:
            # Who reads sees one state of it, and holds up nobody who writes.
            connection.execute("PRAGMA journal_mode=WAL")
            # Where the power fails, the last batches may be gone, with their offsets: they are read again.
            connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_reader = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if is_reader else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def reported(url: str) -> Iterator[None]:
    """Has errors of the database come out as what may pass.

    Raises:
        Retryable: the database is away, or refused for now.
    """
    try:
        yield
    except DBAPIError as error:
        msg = f"the catalogue {place_of(url)} can't be used for now: {_first_line(error.orig)}"
        raise Retryable(msg) from None
    except SQLAlchemyError as error:
        msg = f"the catalogue {place_of(url)} can't be used for now: {_first_line(error)}"
        raise Retryable(msg) from None


def _first_line(error: object) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def migrate(engine: Engine) -> None:
    """Brings the schema up to date, from whatever version it has, or from nothing.

    Raises:
        SQLAlchemyError: the database is away, or refuses.
    """
    from alembic import command  # noqa: PLC0415  # lists, which change no schema, need not load it

    if engine.url.get_backend_name() == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    with engine.begin() as connection:
        command.upgrade(_alembic(connection), "head")


def drop(engine: Engine) -> None:
    """Removes all tables of a catalogue, and nothing else."""
    with engine.begin() as connection:
        METADATA.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_VERSIONS}")


def is_empty(engine: Engine) -> bool:
    """Whether there is no table of a catalogue yet."""
    if engine.url.get_backend_name() == "sqlite" and not Path(str(engine.url.database)).exists():
        return True  # asking would make the file
    return not set(inspect(engine).get_table_names()) & {*METADATA.tables, _VERSIONS}


def _alembic(connection: Connection) -> Config:
    from alembic.config import Config  # noqa: PLC0415  # as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=_VERSIONS)
    return config
