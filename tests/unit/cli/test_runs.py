"""Runs and their writers on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import Result

from microservo.log.publisher import Publisher
from microservo.log.run_records import update_run, write_run
from microservo.log.runs import runs
from microservo.log.source_cursors import SourceCursors
from microservo.log.stamped import StampedWriter
from microservo.log.writers import COLLECTOR_WRITER, telemetry_writer, writers_from
from microservo.testing import ManualClock, MemoryBroker
from schemas.catalogue import TELEMETRY_METRICS
from schemas.records import Experiment, ServiceInventory

NOON_US = 1_800_000_000_000_000
CUTS_US = {"first_cut_us": 2_000_000, "final_cut_us": 30_000_000}
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _a_run(broker: MemoryBroker) -> None:
    run = Experiment(
        run_id="run-1",
        status="running",
        seed=7,
        target="shop",
        started_at_us=NOON_US,
        window_us=5_000_000,
        start_offsets={},
        end_offsets={},
        versions={},
        writers=writers_from(NOON_US, **CUTS_US),
        first_cut_us=CUTS_US["first_cut_us"],
        final_cut_us=CUTS_US["final_cut_us"],
    )
    write_run(broker, run, process="system", clock=ManualClock(NOON_US))


def test_the_writers_of_a_run_are_shown_with_their_cuts(run: Run) -> None:
    lines = run("runs", "writers").stdout.splitlines()
    (faults,) = (line for line in lines if "fault-injector" in line)
    assert "service-faults" in faults
    assert [word for word in faults.split() if word in ("-", "2s", "30s")] == ["-", "2s", "30s", "-"]
    documents = run("runs", "writers", "--run", "run-1", "--json").stdout.splitlines()
    written = [json.loads(document) for document in documents]
    assert {each["writer"] for each in written} == {COLLECTOR_WRITER, "fault-injector"}
    unknown = run("runs", "writers", "--run", "other")
    assert (unknown.exit_code, "the newest are: run-1" in unknown.stderr) == (2, True)


def test_of_a_source_it_is_shown_how_far_it_has_read(run: Run, broker: MemoryBroker) -> None:
    update_run(
        broker,
        "run-1",
        lambda found: replace(
            found, writers=(*found.writers, *telemetry_writer("prometheus", NOON_US, **CUTS_US))
        ),
        process="system",
        clock=ManualClock(NOON_US),
    )
    assert "has read up to" in run("runs", "writers").stdout
    cursors = SourceCursors(broker, "", "run-1", "prometheus", ManualClock(NOON_US))
    cursors.save(("cursor", NOON_US + 65_000_000))
    cursors.close()
    lines = run("runs", "writers").stdout.splitlines()
    shown = [line for line in lines if "prometheus" in line]
    assert len(shown) == 3
    assert all("2027-01-15 08:01:05Z" in line for line in shown)
    assert not any("08:01:05Z" in line for line in lines if "prometheus" not in line)


def test_a_writer_is_retired_without_a_question_where_yes_is_given(run: Run) -> None:
    retired = run("runs", "retire-writer", COLLECTOR_WRITER, "--yes")
    assert retired.stdout.startswith("retired telemetry-collector from telemetry-")
    assert run("runs", "retire-writer", "nobody", "--yes").exit_code == 2


@pytest.mark.parametrize("answers", ["n\n", ""])
def test_who_does_not_confirm_retires_nobody(run: Run, answers: str) -> None:
    asked = run("runs", "retire-writer", COLLECTOR_WRITER, answers=answers)
    assert asked.exit_code == 130
    assert "can't come back to the latest run under this name" in asked.stdout
    assert '"until_us": null' in run("runs", "writers", "--json").stdout
    assert "retired" in run("runs", "retire-writer", COLLECTOR_WRITER, answers="y\n").stdout


def test_a_service_that_is_known_is_declared_gone(run: Run, broker: MemoryBroker) -> None:
    clock = ManualClock(NOON_US)
    known = ServiceInventory(
        run_id="run-1",
        service="jshop",
        endpoints=(),
        peers=(),
        metered=(),
        signals=(),
        interval_us=b"",
        newest_us=b"",
        delay_us=0,
        time_us=NOON_US,
    )
    with StampedWriter(
        broker, TELEMETRY_METRICS, writer="one", run_id=lambda: "run-1", clock=clock, source="/test"
    ) as writer:
        writers = {TELEMETRY_METRICS: writer}
        publisher = Publisher(
            broker.producer(), "telemetry_collector", prefix="", clock=clock, writers=writers
        )
        publisher.publish(known)
    assert run("runs", "retire-service", "jshop").stdout.startswith("jshop is gone since 2027-01-15")
    assert [each.service for each in runs(broker)[0].gone] == ["jshop"]
    unknown = run("runs", "retire-service", "jshoq")
    assert unknown.exit_code == 2
    assert "nothing is known of a service 'jshoq'" in unknown.stderr
    assert "push telemetry: jshop" in unknown.stderr
