"""A run made of the past: what stores hold of a range, collected onto the topics of a broker.

::

    run begins, at the beginning of the range ─► a collector reads minute by minute ─► its writers leave
                                                 (interrupted: goes on there)         ─► run ends, as finished

To all who read the log it is a run as any other, without faults and without a load: its windows are made
live where a stream processor runs, and by a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from microservo.adapters.clock import now_us
from microservo.adapters.machine import machine
from microservo.application.connection import Connection
from microservo.application.new_run import log_ends, new_run_id, package_versions
from microservo.application.past_reader import PastReader
from microservo.application.progress import Progress
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidInput
from microservo.log.past_runs import finish_run, leave_run
from microservo.log.run_records import write_run
from microservo.log.runs import runs
from microservo.log.writers import telemetry_writer
from microservo.sources.declared import AnySource
from microservo.sources.past import FINAL_CUT_US, PastRange, past_range
from microservo.supervision.system_file import home
from schemas.records import CollectedMinute, Experiment

_PROCESS = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came of a collection."""

    run_id: str
    minutes: tuple[CollectedMinute, ...]


class Collection:
    """Collects a range into a run of its own; use it as a context, which leaves no process behind.

    Args:
        connection: where the run is to be; its topics must be there.
        sources: what is read; each must keep the past.
        from_us: microseconds UTC; the range is of whole minutes.
        until_us: as above.
        progress: shows how far it is.
        run_id: of a collection of the same range that was interrupted; a new one where None.

    Raises:
        InvalidInput: a source or the range can't be used, there is no such run, or it is of another range or
            other sources.
    """

    def __init__(
        self,
        connection: Connection,
        sources: Iterable[AnySource],
        *,
        from_us: int,
        until_us: int,
        progress: Progress,
        run_id: str | None = None,
    ) -> None:
        self._broker = connection.broker
        self._prefix = connection.topic_prefix
        self._past = past_range(sources, from_us, until_us, now_us())
        self._progress = progress
        self._run = self._begun() if run_id is None else self._found(run_id)
        self.run_id = self._run.run_id
        folder = home() / "collections" / self.run_id
        self._reader = PastReader(self._broker, self._prefix, self.run_id, self._past, folder)

    def collect(self) -> Collected:
        """Reads all minutes that are missing, and ends the run.

        Raises:
            Unavailable: a store or the broker was away for long; what was read stays.
        """
        if self._run.status == "running":
            self._progress.note(
                f"collecting into {self.run_id}; if interrupted, go on with --run {self.run_id}"
            )
            with self._progress.stage("minutes") as stage:
                self._reader.read(stage)
            with self._progress.stage("end of the run"):
                leave_run(
                    self._broker,
                    run_id=self.run_id,
                    writers=[each.name for each in self._past.source],
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
        return Collected(run_id=self.run_id, minutes=tuple(self._reader.minutes()))

    def kill(self) -> None:
        """Kills the collector at once; end this process then."""
        self._reader.kill()

    def close(self) -> None:
        """Stops the collector once the minute under way is done."""
        self._reader.close()

    def _begun(self) -> Experiment:
        policy = WindowPolicy()
        run = Experiment(
            run_id=new_run_id(now_us()),
            status="running",
            seed=0,
            target=_target(self._past),
            started_at_us=self._past.from_us,
            window_us=policy.size_us,
            first_cut_us=policy.first_cut_us,
            final_cut_us=policy.final_cut_us,
            start_offsets=log_ends(self._broker, self._prefix),
            end_offsets={},
            writers=tuple(
                writer
                for source in self._past.source
                for writer in telemetry_writer(
                    source.name,
                    self._past.from_us,
                    first_cut_us=policy.first_cut_us,
                    final_cut_us=FINAL_CUT_US,
                )
            ),
            versions=package_versions(),
            machines=(machine(),),
        )
        write_run(self._broker, run, process=_PROCESS, clock=now_us, topic_prefix=self._prefix)
        return run

    def _found(self, run_id: str) -> Experiment:
        known = runs(self._broker, self._prefix)
        run = next((each for each in known if each.run_id == run_id), None)
        if run is None:
            msg = f"there is no run {run_id!r}; `microservo runs list` shows those that are"
            raise InvalidInput(msg)
        wanted = self._past.from_us, _target(self._past)
        if (run.started_at_us, run.target) != wanted:
            msg = f"run {run_id!r} was not collected from there; give the range and the sources that it has"
            raise InvalidInput(msg)
        return run

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _target(past: PastRange) -> str:
    """What a run is of that was collected; the same for the same sources."""
    return "collected from " + ", ".join(sorted(f"{each.name} ({each.url})" for each in past.source))
