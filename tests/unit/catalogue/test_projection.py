"""What the topics say is in the tables, once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from catalogued_log import FAULTS_THERE, example, make_log, write_fault
from sqlalchemy import Engine, text

from microservo.adapters.broker import Consumer
from microservo.catalogue import projection as module
from microservo.catalogue.comparing import differences, rows
from microservo.catalogue.database import drop, is_empty, migrate, open_engine
from microservo.catalogue.projection import Projection, rebuild
from microservo.catalogue.reading import Catalogue
from microservo.errors import Fatal, InvalidInput
from microservo.log.faults import all_latest_events, latest_events
from microservo.log.runs import runs
from microservo.testing import MemoryBroker
from schemas.catalogue import EXPERIMENTS, FAULT_EVENTS, FAULTS
from schemas.codec import encode


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    make_log(made)
    return made


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalogue.sqlite"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = open_engine(url)
    yield made
    made.dispose()


def project(broker: MemoryBroker, engine: Engine, url: str, batch: int = 7) -> None:
    """Projects all that there is, in batches of a size."""
    projection = Projection(broker, engine, url)
    with broker.consumer(group_id=None) as consumer:
        projection.begin(consumer)
        while messages := consumer.consume(batch, 0.0):
            projection.handle(consumer, messages)


def test_the_tables_hold_what_the_topics_say(broker: MemoryBroker, engine: Engine, url: str) -> None:
    project(broker, engine, url)
    found = rows(engine)
    assert [row[0] for row in found["runs"]] == ["r-0", "r-2"], (
        "a tombstone deletes, what is broken is left out"
    )
    assert len(found["faults"]) == FAULTS_THERE + 1
    assert len(found["fault_instances"]) == 2 * (FAULTS_THERE + 1), "instances differ by a trailing space"
    assert {row[1] for row in found["fault_parameters"]} == {*example("fault_event").parameters}
    assert len(found["listed_faults"]) == FAULTS_THERE, "one was deleted, one more was written"
    assert [row[0] for row in found["evaluations"]] == ["kept"]
    assert {row[0] for row in found["evaluation_metrics"]} == {"kept"}
    assert None in {row[2] for row in found["evaluation_metrics"]}, "NaN is NULL"
    assert [row[:3] for row in found["hosts"]] == [("edge-1", "edge", None)]
    assert [row[:2] for row in found["services"]] == [("cart", "cart:1")], "a refused change does not count"
    assert found["app_services"] == [("shop", "cart", 2)]
    assert len(found["containers"]) == len(found["decisions"]) == len(found["campaigns"]) == 1


def test_the_same_rows_come_of_batches_of_any_size(broker: MemoryBroker, tmp_path: Path) -> None:
    engines = []
    for size in (1, 10_000):
        own = f"sqlite:///{tmp_path}/{size}"
        engines.append(open_engine(own))
        project(broker, engines[-1], own, size)
    assert list(differences(*engines)) == []
    for each in engines:
        each.dispose()


def test_a_rebuild_into_an_empty_database_gives_the_same_rows(
    broker: MemoryBroker, engine: Engine, url: str, tmp_path: Path
) -> None:
    project(broker, engine, url)
    again = f"sqlite:///{tmp_path}/again"
    other = open_engine(again)
    done = list(rebuild(broker, other, again))
    assert done[-1][0] == done[-1][1] > 0
    assert list(differences(engine, other)) == []
    with other.begin() as connection:
        connection.execute(text("DELETE FROM runs"))
    assert list(differences(engine, other)) == ["runs: 2 rows are only in the first, 0 only in the second"]
    other.dispose()


def test_a_batch_that_comes_again_changes_nothing(broker: MemoryBroker, engine: Engine, url: str) -> None:
    projection = Projection(broker, engine, url)
    with broker.consumer(group_id=None) as consumer:
        projection.begin(consumer)
        messages = consumer.consume(10_000, 0.0)
        projection.handle(consumer, messages)
        before = rows(engine)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM runs"))
        projection.handle(consumer, messages)
        assert rows(engine)["runs"] == [], "what is written already is not written again"
        assert {**rows(engine), "runs": before["runs"]} == before


def test_rows_and_offsets_are_written_together_or_not_at_all(
    broker: MemoryBroker, engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    projection = Projection(broker, engine, url)
    with broker.consumer(group_id=None) as consumer:
        projection.begin(consumer)
        nothing = rows(engine)
        messages = consumer.consume(10_000, 0.0)

        def ends(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(module, "write_offsets", ends)
            with pytest.raises(KeyboardInterrupt):
                projection.handle(consumer, messages)
        assert rows(engine) == nothing
        projection.handle(consumer, messages)
        assert len(rows(engine)["faults"]) == FAULTS_THERE + 1


def test_a_database_that_was_restored_is_projected_from_where_it_stands(
    broker: MemoryBroker, engine: Engine, url: str
) -> None:
    projection = Projection(broker, engine, url)
    with broker.consumer(group_id=None) as consumer:
        projection.begin(consumer)
        _until_silent(projection, consumer)
        whole = rows(engine)
        drop(engine)
        migrate(engine)
        _write_run(broker, "r-9")
        _until_silent(projection, consumer)
        assert {**rows(engine), "runs": 0} == {**whole, "runs": 0}
        assert [row[0] for row in rows(engine)["runs"]] == ["r-0", "r-2", "r-9"]


def test_a_database_of_another_log_is_refused(engine: Engine, url: str, broker: MemoryBroker) -> None:
    project(broker, engine, url)
    other = MemoryBroker()
    make_log(other)
    with pytest.raises(Fatal, match="the catalogue is of log"):
        project(other, engine, url)


def test_lists_are_those_that_a_scan_gives(broker: MemoryBroker, engine: Engine, url: str) -> None:
    project(broker, engine, url)
    catalogue = Catalogue(broker, engine, url)
    assert catalogue.runs() == runs(broker)
    assert catalogue.faults() == latest_events(broker, FAULTS)
    assert catalogue.faults(history=True) == all_latest_events(broker, FAULT_EVENTS)
    assert {each.fault_id for each in catalogue.faults(history=True, fault_id="f-0") or ()} == {"f-0"}


def test_a_catalogue_that_is_behind_answers_nothing(broker: MemoryBroker, engine: Engine, url: str) -> None:
    catalogue = Catalogue(broker, engine, url)
    assert catalogue.runs() is None, "there is no database yet"
    project(broker, engine, url)
    with broker.producer() as producer:
        write_fault(producer, "", "new")
        producer.flush(10)
    assert catalogue.faults() is None
    assert catalogue.runs() == runs(broker), "it has all that is asked for here"
    project(broker, engine, url)
    assert catalogue.faults() == latest_events(broker, FAULTS)


def test_a_catalogue_of_another_log_answers_nothing(broker: MemoryBroker, engine: Engine, url: str) -> None:
    project(broker, engine, url)
    other = MemoryBroker()
    make_log(other)
    assert Catalogue(other, engine, url).runs() is None


def test_a_key_that_no_database_can_index_is_left_out(broker: MemoryBroker, engine: Engine, url: str) -> None:
    for key in ("x" * 256, "a\0b"):
        _write_run(broker, key)
    project(broker, engine, url)
    assert [row[0] for row in rows(engine)["runs"]] == ["r-0", "r-2"]


@pytest.mark.parametrize("wrong", ["", "secret", "oracle://u:secret@h/d", "sqlite://", "postgresql:secret"])
def test_a_url_that_names_no_database_is_refused_without_being_told(wrong: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_engine(wrong)
    assert "secret" not in str(caught.value)


def test_a_catalogue_can_be_dropped(broker: MemoryBroker, engine: Engine, url: str) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE others (a INT)"))
    assert not is_empty(engine)
    drop(engine)
    assert is_empty(engine)
    project(broker, engine, url)
    assert rows(engine)["faults"]


def _until_silent(projection: Projection, consumer: Consumer) -> None:
    while messages := consumer.consume(50, 0.0):
        projection.handle(consumer, messages)


def _write_run(broker: MemoryBroker, run_id: str) -> None:
    with broker.producer() as producer:
        run = replace(example("experiment"), run_id=run_id)
        producer.send(EXPERIMENTS, key=run_id.encode(), value=encode(run))
        producer.flush(10)
