"""The catalogue: looking at it, making it anew, and holding it against the topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from microservo.application.catalogue_database import URL_VARIABLE, catalogue_url, installed, opened
from microservo.application.command import Command, Context
from microservo.application.connection import Connection
from microservo.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicStanding:
    """How far a topic is in the catalogue.

    Attributes:
        read: sum of the next offsets of its partitions by the database.
        end: sum of the offsets at which its partitions end.
    """

    read: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueStanding:
    """What a catalogue holds, and how far behind the topics it is.

    Attributes:
        place: the database, without what is secret.
        rows: how many, by table.
        topics: by logical name.
    """

    place: str
    rows: Mapping[str, int]
    topics: Mapping[str, TopicStanding]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCatalogue(Command[CatalogueStanding]):
    """Asks what the catalogue holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildCatalogue(Command[CatalogueStanding]):
    """Fills the catalogue from the topics.

    Attributes:
        replace: drops the tables that are there first.
    """

    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyCatalogue(Command[tuple[str, ...]]):
    """Asks in what the catalogue differs from one made of the topics now; a sentence for each table."""


def show_catalogue(_command: ShowCatalogue, context: Context) -> CatalogueStanding:
    """What is there.

    Raises:
        InvalidInput: no database is named, or it is of another log.
        Retryable: database or broker is away.
    """
    with _named(context, reads_only=True) as (engine, url):
        _check_there(engine, url)
        return _standing(context.connection, engine, url)


def rebuild_catalogue(command: RebuildCatalogue, context: Context) -> CatalogueStanding:
    """What is there afterwards.

    Raises:
        InvalidInput: no database is named, or there is a catalogue in it that is not to be replaced.
        Retryable: database or broker is away; what was written remains, and a projector goes on from there.
        Fatal: the log no longer holds what comes next.
    """
    with _named(context) as (engine, url):
        from microservo.catalogue.database import drop, is_empty, place_of, reported  # noqa: PLC0415

        with reported(url):
            is_there = not is_empty(engine)
            if is_there and command.replace:
                drop(engine)
        if is_there and not command.replace:
            msg = f"there is a catalogue in {place_of(url)}; --replace drops it and makes it anew"
            raise InvalidInput(msg)
        _fill(context, engine, url, f"catalogue {place_of(url)}")
        return _standing(context.connection, engine, url)


def verify_catalogue(_command: VerifyCatalogue, context: Context) -> tuple[str, ...]:
    """The differences; none if the rows are the same.

    Raises:
        InvalidInput: no database is named, or nothing is in it.
        Retryable: database or broker is away.
        Unavailable: the catalogue is behind, so that it can't be compared.
    """
    with _named(context, reads_only=True) as (engine, url), TemporaryDirectory() as folder:
        from microservo.catalogue.comparing import differences  # noqa: PLC0415
        from microservo.catalogue.database import reported  # noqa: PLC0415

        _check_there(engine, url)
        own = f"sqlite:///{Path(folder) / 'catalogue.sqlite'}"
        with opened(own) as other:
            _fill(context, other, own, "the same of the topics")
            with reported(url):
                found = tuple(differences(engine, other))
                read = _read(engine)
                if read != _read(other):
                    msg = "the catalogue has not read as far as the topics go, or they grow; try again"
                    raise Unavailable(msg)
                return found


@contextmanager
def _named(context: Context, *, reads_only: bool = False) -> Iterator[tuple[Engine, str]]:
    url = catalogue_url(context.connection)
    if not url:
        msg = (
            f"no catalogue is named, and no system that keeps one runs here; set {URL_VARIABLE} to its "
            "database, as sqlite:////folder/file"
        )
        raise InvalidInput(msg)
    with opened(url, reads_only=reads_only) as engine:
        yield engine, url


def _check_there(engine: Engine, url: str) -> None:
    from microservo.catalogue.database import is_empty, place_of, reported  # noqa: PLC0415

    with reported(url):
        is_missing = is_empty(engine)
    if is_missing:
        msg = f"there is no catalogue in {place_of(url)} yet; `microservo catalogue rebuild` makes it"
        raise InvalidInput(msg)


def _fill(context: Context, engine: Engine, url: str, title: str) -> None:
    connection = context.connection
    with installed(), context.progress.stage(title) as stage:
        from microservo.catalogue.projection import rebuild  # noqa: PLC0415

        for done, whole in rebuild(connection.broker, engine, url, connection.topic_prefix):
            stage.advance(done, whole)


def _read(engine: Engine) -> dict[tuple[str, int], int]:
    from microservo.catalogue.writing import offsets  # noqa: PLC0415

    with engine.connect().execution_options(reads_only=True) as connection:
        return offsets(connection)


def _standing(connection: Connection, engine: Engine, url: str) -> CatalogueStanding:
    from microservo.catalogue.database import place_of, reported  # noqa: PLC0415
    from microservo.catalogue.reading import Catalogue, counted  # noqa: PLC0415

    catalogue = Catalogue(connection.broker, engine, url, connection.topic_prefix)
    ends = catalogue.ends()
    with reported(url):
        is_ours = catalogue.is_of_this_log()
        rows, read = counted(engine), _read(engine)
    if not is_ours:
        msg = (
            f"the catalogue in {place_of(url)} is of another cluster or prefix; name its own, or an empty one"
        )
        raise InvalidInput(msg)
    topics: dict[str, TopicStanding] = {}
    for (topic, partition), end in ends.items():
        before = topics.get(topic, TopicStanding(read=0, end=0))
        new = read.get((topic, partition), 0)
        topics[topic] = TopicStanding(read=before.read + new, end=before.end + end)
    return CatalogueStanding(place=place_of(url), rows=rows, topics=topics)
