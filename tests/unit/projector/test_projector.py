"""A projector whose database is of another log: it may replace what is in it only where that is said."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from catalogued_log import make_log
from pydantic import SecretStr
from sqlalchemy import text

from microservo.catalogue.database import open_engine
from microservo.catalogue.projection import rebuild
from microservo.catalogue.reading import Catalogue
from microservo.errors import Fatal
from microservo.log.runs import runs
from microservo.runtime.shutdown import Shutdown
from microservo.testing import MemoryBroker, eventually
from services.projector.service import run
from services.projector.settings import ProjectorSettings


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a database that another log has filled, with a table that is none of ours."""
    made = f"sqlite:///{tmp_path}/catalogue.sqlite"
    other = MemoryBroker()
    make_log(other)
    engine = open_engine(made)
    list(rebuild(other, engine, made))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mine (a INT)"))
    engine.dispose()
    return made


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    make_log(made)
    return made


def test_the_tables_of_another_log_stay_unless_it_is_said_that_they_are_replaced(
    url: str, broker: MemoryBroker
) -> None:
    settings = ProjectorSettings(catalogue_url=SecretStr(url))
    with pytest.raises(Fatal, match="the catalogue is of log"):
        run(settings, Shutdown(()), broker=broker)


def test_the_tables_of_another_log_are_replaced_and_no_others(url: str, broker: MemoryBroker) -> None:
    settings = ProjectorSettings(catalogue_url=SecretStr(url), catalogue_replaced=True)
    shutdown = Shutdown(())
    projector = threading.Thread(target=run, args=(settings, shutdown), kwargs={"broker": broker})
    projector.start()
    engine = open_engine(url)
    try:
        catalogue = Catalogue(broker, engine, url)
        eventually(lambda: catalogue.runs() is not None, timeout_s=60, what="an up to date catalogue")
        assert catalogue.runs() == runs(broker)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM mine")).scalar_one() == 0
    finally:
        shutdown.request()
        projector.join(60)
        engine.dispose()
    assert not projector.is_alive()
