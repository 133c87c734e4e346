"""A recording of others as a run: read whole first, then onto the topics by the very collector.

::

    path ─► staged by minutes ─► run begins ─► faults ─► collector, minute by minute ─► effects ─► run ends
            (a bad one ends here)             (interrupted: goes on there with --run)
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from microservo.adapters.clock import now_us
from microservo.adapters.machine import machine
from microservo.application.connection import Connection
from microservo.application.datasets import Imported
from microservo.application.imported_faults import ImportedFaults, together
from microservo.application.new_run import log_ends, new_run_id, package_versions
from microservo.application.past_reader import PastReader
from microservo.application.progress import Progress, Stage
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
    """Imports a recording into a run of its own; use it as a context, which leaves no process behind.

    Args:
        connection: where the run is to be; its topics must be there.
        path: the recording.
        format_name: that of an importer, or `auto`.
        speed: seconds of the recording that pass in a second at most; as fast as it goes where None.
        progress: shows how far it is.
        run_id: of an import of the same recording that was interrupted; a new one where None.

    Raises:
        InvalidInput: the recording can't be read, there is no such run, or it is of another recording.
    """

    def __init__(
        self,
        connection: Connection,
        path: Path,
        *,
        format_name: str,
        speed: float | None,
        progress: Progress,
        run_id: str | None = None,
    ) -> None:
        self._broker = connection.broker
        self._prefix = connection.topic_prefix
        self._progress = progress
        new_id = run_id or new_run_id(now_us())
        self._folder = home() / "imports" / new_id
        try:
            with progress.stage("reading") as shown:
                self.staged = stage(path, format_name, self._folder / "minutes", progress=shown.advance)
                shown.show(f"{self.staged.records} records, {len(self.staged.faults)} labels")
            self._past = PastRange(
                from_us=self.staged.from_us,
                until_us=self.staged.until_us,
                speed=speed,
                source=(RecordedSettings(folder=self._folder / "minutes"),),
            )
            self._run = self._begun(new_id) if run_id is None else self._found(run_id)
        except BaseException:
            self._remove_staged()
            raise
        self.run_id = self._run.run_id
        self._reader = PastReader(self._broker, self._prefix, self.run_id, self._past, self._folder)

    def publish(self) -> Imported:
        """Publishes all that is missing, and ends the run.

        Raises:
            Unavailable: the broker was away for long; what was published stays.
        """
        if self._run.status == "running":
            self._progress.note(
                f"importing into {self.run_id}; if interrupted, go on with --run {self.run_id}"
            )
            self._publish()
        return Imported(
            run_id=self.run_id,
            format_name=self.staged.format_name,
            records=self.staged.records,
            faults=len(together(self.staged.faults)),
            notes=self.staged.notes,
        )

    def close(self) -> None:
        """Stops the collector once the minute under way is done, and removes what was staged."""
        self._reader.close()
        self._remove_staged()

    def _remove_staged(self) -> None:
        shutil.rmtree(self._folder / "minutes", ignore_errors=True)

    def _begun(self, run_id: str) -> Experiment:
        policy, from_us = WindowPolicy(), self.staged.from_us
        injector = RunWriter(
            topic=SERVICE_FAULTS,
            writer=INJECTOR_WRITER,
            from_us=from_us,
            first_cut_us=policy.first_cut_us,
            final_cut_us=policy.final_cut_us,
        )
        run = Experiment(
            run_id=run_id,
            status="running",
            seed=0,
            target=_target(self.staged),
            started_at_us=from_us,
            window_us=policy.size_us,
            first_cut_us=policy.first_cut_us,
            final_cut_us=policy.final_cut_us,
            start_offsets=log_ends(self._broker, self._prefix),
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
            fault_free_until_us=_fault_free_until_us(self.staged),
        )
        write_run(self._broker, run, process=_PROCESS, clock=now_us, topic_prefix=self._prefix)
        return run

    def _found(self, run_id: str) -> Experiment:
        known = runs(self._broker, self._prefix)
        run = next((each for each in known if each.run_id == run_id), None)
        if run is None:
            msg = f"there is no run {run_id!r}; `microservo runs list` shows those that are"
            raise InvalidInput(msg)
        if run.target != _target(self.staged):
            msg = f"run {run_id!r} is of {run.target}, and this is {_target(self.staged)}; give the same one"
            raise InvalidInput(msg)
        return run

    def _publish(self) -> None:
        staged = self.staged
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
                    self._read(shown)
                with self._progress.stage("effects") as shown:
                    faults.measure(shown.advance)
                faults.end()
        self._end()

    def _read(self, shown: Stage) -> None:
        """Has all minutes that are missing read."""
        self._reader.read(shown)

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

    def __enter__(self) -> Import:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _fault_free_until_us(staged: Staged) -> int | None:
    """Until the first fault by the labels; a recording without labels does not say."""
    starts_us = (each.start_us - (each.within_us or 0) for each in staged.faults)
    return max(staged.from_us, min(starts_us)) if staged.faults else None


def _target(staged: Staged) -> str:
    """What a run is of that was imported; the same for the same recording."""
    return f"imported from {staged.format_name} ({staged.digest})"
