"""The catalogue on the command line, and lists that are read from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from catalogued_log import FAULTS_THERE, make_log, write_fault
from click.testing import Result
from sqlalchemy import text

from microservo.application import faults
from microservo.application.catalogue import URL_VARIABLE
from microservo.catalogue.database import open_engine
from microservo.testing import MemoryBroker

Run = Callable[..., Result]
LISTS = (("runs", "list", "--json"), ("fault", "list", "--json"), ("fault", "list", "--all", "--json"))


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    make_log(made)
    return made


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    made = f"sqlite:///{tmp_path}/folder/catalogue.sqlite"
    monkeypatch.setenv(URL_VARIABLE, made)
    return made


def test_a_catalogue_is_made_shown_and_found_to_be_what_the_topics_say(run: Run, url: str) -> None:
    missing = run("catalogue", "show")
    assert missing.exit_code == 2
    assert "there is no catalogue" in missing.stderr
    rebuilt = json.loads(run("catalogue", "rebuild", "--json").stdout)
    assert rebuilt["rows"]["faults"] == FAULTS_THERE + 1
    assert all(each["read"] == each["end"] for each in rebuilt["topics"].values())
    assert json.loads(run("catalogue", "show", "--json").stdout) == rebuilt
    assert "the rows that the topics give" in run("catalogue", "verify").stdout


def test_a_catalogue_is_replaced_only_when_that_is_said(run: Run, url: str) -> None:
    run("catalogue", "rebuild")
    _execute(url, "DELETE FROM runs")
    refused = run("catalogue", "rebuild")
    assert refused.exit_code == 2
    assert "--replace" in refused.stderr
    different = run("catalogue", "verify")
    assert different.exit_code == 1
    assert "runs: 0 rows are only in the first, 2 only in the second" in different.stderr
    assert run("catalogue", "rebuild", "--replace").exit_code == 0
    assert run("catalogue", "verify").exit_code == 0


def test_a_catalogue_of_another_log_is_not_shown_as_this_ones(run: Run, url: str) -> None:
    run("catalogue", "rebuild")
    _execute(url, "UPDATE projected_log SET log_id = 'other/'")
    shown = run("catalogue", "show")
    assert shown.exit_code == 2
    assert "another cluster" in shown.stderr


def test_without_a_database_it_is_said_how_one_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    refused = run("catalogue", "show")
    assert refused.exit_code == 2
    assert URL_VARIABLE in refused.stderr


@pytest.mark.parametrize("asked", LISTS, ids=" ".join)
def test_lists_are_the_same_from_catalogue_and_topics(
    run: Run, url: str, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_topics = run(*asked)
    run("catalogue", "rebuild")

    def scanned(*_: object) -> None:
        pytest.fail("the topics were read")

    monkeypatch.setattr("microservo.log.runs.runs", scanned)
    for name in ("latest_events", "all_latest_events"):
        monkeypatch.setattr(faults, name, scanned)
    by_catalogue = run(*asked)
    assert by_catalogue.exit_code == by_topics.exit_code == 0
    assert by_catalogue.stdout == by_topics.stdout != ""


def test_a_catalogue_that_is_behind_is_passed_over_and_that_is_said(
    run: Run, url: str, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    run("catalogue", "rebuild")
    with broker.producer() as producer:
        write_fault(producer, "", "new")
        producer.flush(10)
    with caplog.at_level(logging.WARNING):
        listed = run("fault", "list", "--json").stdout
    assert '"new"' in listed
    assert "behind the topics, which are read instead" in caplog.text
    assert "messages are not in it yet" in run("catalogue", "show").stdout


def test_a_database_that_is_away_costs_no_list(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    expected = [run(*asked).stdout for asked in LISTS]
    # Nothing listens on port 1.
    monkeypatch.setenv(URL_VARIABLE, "postgresql://owner:Open-Sesame@127.0.0.1:1/catalogue")
    with caplog.at_level(logging.WARNING):
        assert [run(*asked).stdout for asked in LISTS] == expected
    assert "postgresql://127.0.0.1:1/catalogue is away" in caplog.text
    assert "Open-Sesame" not in caplog.text
    refused = run("catalogue", "show")
    assert refused.exit_code == 1
    assert "Open-Sesame" not in refused.output


def _execute(url: str, statement: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
