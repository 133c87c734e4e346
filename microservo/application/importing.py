"""A recording of others as runs: read whole first, then onto the topics by the very collector.

::

    path ─► parts, staged by minutes ─► for each: run begins ─► faults ─► collector, minute by minute
            (a bad one ends here)                 (interrupted: goes on there with --run)  │
                                                          run ends ◄─ effects ◄────────────┘
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from microservo.adapters.clock import now_us
from microservo.adapters.machine import machine
from microservo.application.connection import Connection
from microservo.application.datasets import Imported
from microservo.application.imported_faults import ImportedFaults, together
from microservo.application.new_run import log_ends, new_run_id, package_versions
from microservo.application.past_reader import PastReader
from microservo.application.progress import Progress
from microservo.datasets.imports.span_of_time import SpanOfTime
from microservo.datasets.imports.staging import Staged, stage
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidInput
from microservo.log.past_runs import finish_run, leave_run
from microservo.log.run_records import write_run
from microservo.log.runs import runs
from microservo.log.writers import (
    INJECTOR_WRITER,
    OBSERVER_WRITER,
    end_part,
    observer_from,
    telemetry_writer,
)
from microservo.sources.past import FINAL_CUT_US, PastRange
from microservo.sources.recorded.settings import IMPORT_WRITER, RecordedSettings
from microservo.supervision.system_file import home
from schemas.catalogue import SERVICE_FAULTS
from schemas.records import Experiment, RunWriter

_PROCESS = "client"


class Import:
    """Imports a recording into runs of its own; use it as a context, which leaves no process behind.

    Args:
        connection: where the runs are to be; its topics must be there.
        path: the recording.
        format_name: that of an importer, or `auto`.
        within: what is outside of it is left out.
        speed: seconds of the recording that pass in a second at most; as fast as it goes where None.
        progress: shows how far it is.
        run_id: of an import of the same recording that was interrupted, to go on with it and with the parts
            behind it; new runs where None.

    Raises:
        InvalidInput: the recording can't be read, there is no such run, or it is of another recording.
    """

    def __init__(
        self,
        connection: Connection,
        path: Path,
        *,
        format_name: str,
        within: SpanOfTime,
        speed: float | None,
        progress: Progress,
        run_id: str | None = None,
    ) -> None:
        self._connection, self._progress, self._speed = connection, progress, speed
        # A name of its own, and none that was given: it is removed in the end.
        self._folder = home() / "imports" / new_run_id(now_us())
        self._minutes = self._folder / "minutes"
        self._begun: Experiment | None = None
        try:
            with progress.stage("reading") as shown:
                self._left = stage(path, format_name, self._minutes, within=within, progress=shown.advance)
                shown.show(_sum(self._left))
            if run_id is not None:
                self._begun, self._left = _found(connection, run_id, self._left)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def publish(self) -> Iterator[Imported]:
        """Publishes all that is missing, run by run, and ends each.

        Raises:
            Unavailable: the broker was away for long; what was published stays.
        """
        for number, staged in enumerate(self._left, start=1):
            run, self._begun = self._begun or _begin(self._connection, staged), None
            part = f"{staged.part} ({number} of {len(self._left)}) " if staged.part else ""
            self._progress.note(
                f"importing {part}into {run.run_id}; if interrupted, go on with --run {run.run_id}"
            )
            imported = _ImportedRun(
                self._connection, run, staged, speed=self._speed, progress=self._progress, folder=self._folder
            )
            with closing(imported):
                if run.status == "running":
                    imported.publish()
            shutil.rmtree(staged.folder, ignore_errors=True)
            yield Imported(
                run_id=run.run_id,
                format_name=staged.format_name,
                part=staged.part,
                records=staged.records,
                faults=len(together(staged.faults)),
                notes=staged.notes,
            )
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Removes what was staged; the log of a collector that failed stays."""
        shutil.rmtree(self._minutes, ignore_errors=True)

    def __enter__(self) -> Import:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class _ImportedRun:
    """One run, from what was staged of it."""

    def __init__(
        self,
        connection: Connection,
        run: Experiment,
        staged: Staged,
        *,
        speed: float | None,
        progress: Progress,
        folder: Path,
    ) -> None:
        self._broker, self._prefix = connection.broker, connection.topic_prefix
        self._staged, self._progress = staged, progress
        self.run_id = run.run_id
        self._past = PastRange(
            from_us=staged.from_us,
            until_us=staged.until_us,
            speed=speed,
            source=(RecordedSettings(folder=staged.folder),),
        )
        self._reader = PastReader(self._broker, self._prefix, self.run_id, self._past, folder)

    def close(self) -> None:
        """Stops the collector once the minute under way is done."""
        self._reader.close()

    def publish(self) -> None:
        """Publishes all that is missing, and ends the run."""
        staged = self._staged
        try:
            faults = ImportedFaults(
                self._broker, self._prefix, self.run_id, from_us=staged.from_us, until_us=staged.until_us
            )
        except InvalidInput:
            # They have left: all was published, and only the end of the run is missing.
            faults = None
        if faults is not None:
            with closing(faults):
                said_by = f"labels of {staged.format_name}"
                faults.declare(staged.faults, staged.edges, said_by=said_by)
                with self._progress.stage("minutes") as shown:
                    self._reader.read(shown)
                with self._progress.stage("effects") as shown:
                    faults.measure(shown.advance)
                faults.end()
        self._end()

    def _end(self) -> None:
        with self._progress.stage("end of the run"):
            leave_run(
                self._broker,
                run_id=self.run_id,
                writers=[each.name for each in self._past.source],
                process=_PROCESS,
                clock=now_us,
                topic_prefix=self._prefix,
            )
            for writer in (INJECTOR_WRITER, OBSERVER_WRITER):
                end_part(
                    self._broker,
                    run_id=self.run_id,
                    writer=writer,
                    process=_PROCESS,
                    clock=now_us,
                    topic_prefix=self._prefix,
                )
            finish_run(
                self._broker,
                run_id=self.run_id,
                until_us=self._past.until_us,
                ends=log_ends(self._broker, self._prefix),
                process=_PROCESS,
                clock=now_us,
                topic_prefix=self._prefix,
            )


def _begin(connection: Connection, staged: Staged) -> Experiment:
    """The record of a new run, on its topic."""
    broker, prefix = connection.broker, connection.topic_prefix
    policy, from_us = WindowPolicy(), staged.from_us
    injector = RunWriter(
        topic=SERVICE_FAULTS,
        writer=INJECTOR_WRITER,
        from_us=from_us,
        first_cut_us=policy.first_cut_us,
        final_cut_us=policy.final_cut_us,
    )
    run = Experiment(
        run_id=new_run_id(now_us()),
        status="running",
        seed=0,
        target=_target(staged),
        started_at_us=from_us,
        window_us=policy.size_us,
        first_cut_us=policy.first_cut_us,
        final_cut_us=policy.final_cut_us,
        start_offsets=log_ends(broker, prefix),
        end_offsets={},
        writers=(
            *telemetry_writer(
                IMPORT_WRITER, from_us, first_cut_us=policy.first_cut_us, final_cut_us=FINAL_CUT_US
            ),
            injector,
            observer_from(from_us, final_cut_us=policy.final_cut_us),
        ),
        versions=package_versions(),
        machines=(machine(),),
        fault_free_until_us=staged.fault_free_until_us,
    )
    write_run(broker, run, process=_PROCESS, clock=now_us, topic_prefix=prefix)
    return run


def _found(
    connection: Connection, run_id: str, parts: tuple[Staged, ...]
) -> tuple[Experiment, tuple[Staged, ...]]:
    """The run to go on with, and the parts from its own on."""
    known = runs(connection.broker, connection.topic_prefix)
    run = next((each for each in known if each.run_id == run_id), None)
    if run is None:
        msg = f"there is no run {run_id!r}; `microservo runs list` shows those that are"
        raise InvalidInput(msg)
    place = next((place for place, each in enumerate(parts) if _target(each) == run.target), None)
    if place is None:
        first = ", ".join(map(_target, parts[:3])) + (" and others" if parts[3:] else "")
        msg = f"run {run_id!r} is of {run.target}, and this is {first}; give the same one"
        raise InvalidInput(msg)
    return run, parts[place:]


def _sum(parts: tuple[Staged, ...]) -> str:
    records, labels = sum(each.records for each in parts), sum(len(each.faults) for each in parts)
    several = f"{len(parts)} parts, each a run: " if len(parts) > 1 else ""
    return f"{several}{records} records, {labels} labels"


def _target(staged: Staged) -> str:
    """What a run is of that was imported; the same for the same recording."""
    part = f" {staged.part}" if staged.part else ""
    return f"imported from {staged.format_name}{part} ({staged.digest})"
