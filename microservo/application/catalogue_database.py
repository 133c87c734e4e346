"""The database of the catalogue: which one it is, and what has to be installed to open it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from microservo.application.connection import Connection
from microservo.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Engine

URL_VARIABLE = "MICROSERVO_CATALOGUE_URL"
"""An environment variable and not an argument, since others see the arguments of a process."""


def catalogue_url(connection: Connection) -> str:
    """Of the environment, else of the system that runs here; empty where neither names one."""
    system = connection.system
    return os.environ.get(URL_VARIABLE) or (system.catalogue_url if system is not None else "")


@contextmanager
def opened(url: str, *, wait_s: int = 10, reads_only: bool = False) -> Iterator[Engine]:
    """An engine of the database, for as long as the context lasts.

    Args:
        url: of the database.
        wait_s: as of `microservo.catalogue.database.open_engine`, and so is `reads_only`.
        reads_only: see there.

    Raises:
        InvalidInput: the URL names no database.
        Unavailable: what reads such databases is not installed.
    """
    with installed():
        from microservo.catalogue.database import open_engine  # noqa: PLC0415  # loads SQLAlchemy
    engine = open_engine(url, wait_s=wait_s, reads_only=reads_only)
    try:
        yield engine
    finally:
        engine.dispose()


def check_installed() -> None:
    """Looks for the packages that a projector needs beside its driver, without loading them.

    Raises:
        Unavailable: one is missing; says what to install.
    """
    for package in ("sqlalchemy", "alembic"):
        if find_spec(package) is None:
            raise Unavailable(_missing(package))


@contextmanager
def installed() -> Iterator[None]:
    """Says what to install where a package of the catalogue is missing.

    Raises:
        Unavailable: it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("microservo"):
            raise
        raise Unavailable(_missing(error.name)) from error


def _missing(package: str) -> str:
    return f"the catalogue needs {package}, which is not installed; `pip install {package}` adds it"
