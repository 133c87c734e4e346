"""The record of a run on `experiments`: written when it begins, and again when it ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.machine import clock_difference_us, machine
from microservo.application.new_run import log_ends, new_run_id, package_versions
from microservo.errors import InvalidInput
from microservo.log.run_records import update_run, write_run
from microservo.log.topics import topic_specs
from microservo.log.writers import observer_from, telemetry_writer, writers_from
from microservo.platforms.local.topology_files import read_topology, topology_file
from microservo.system.options import SystemOptions
from schemas.records import Experiment, RunLoad, RunStatus

_PROCESS = "system"
_UNTIL_DECLARED_US = 3_600_000_000
"""No system takes so long to start."""


class RunRecord:
    """A run from its first offset to its last.

    Args:
        broker: has all topics already.
        run_id: name of the run; a new one where none is given.
    """

    def __init__(
        self, broker: Broker, options: SystemOptions, *, target: str, run_id: str | None = None
    ) -> None:
        self._broker = broker
        self._prefix = options.topic_prefix
        time_us = now_us()
        self._run = Experiment(
            run_id=run_id or new_run_id(time_us),
            status="running",
            seed=options.seed,
            target=target,
            started_at_us=time_us,
            window_us=options.policy.size_us,
            first_cut_us=options.policy.first_cut_us,
            final_cut_us=options.policy.final_cut_us,
            start_offsets=self._offsets(),
            end_offsets={},
            writers=(
                *writers_from(
                    time_us,
                    first_cut_us=options.policy.first_cut_us,
                    final_cut_us=options.policy.final_cut_us,
                ),
                observer_from(time_us, final_cut_us=options.policy.final_cut_us),
                *(
                    writer
                    for source in options.sources
                    for writer in telemetry_writer(
                        source.name,
                        time_us,
                        first_cut_us=source.first_cut_us(options.policy.first_cut_us),
                        final_cut_us=source.final_cut_us(options.policy.final_cut_us),
                    )
                ),
            ),
            versions=package_versions(),
            topology_sha256=_topology_sha256(options),
            loads=() if options.cluster else (_load(options),),
            machines=(machine(),),
            delays_us=dict(options.delays_us),
            # Until it is declared: an algorithm that is quicker than the rest must not take it for over.
            fault_free_until_us=time_us + _UNTIL_DECLARED_US,
        )
        self._clock_us: int | None = clock_difference_us()

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        return self._run.run_id

    @property
    def is_over(self) -> bool:
        """Whether it was ended."""
        return self._run.status != "running"

    def close_others(self, known: Iterable[Experiment]) -> None:
        """Ends the runs that still go on by their record: on a broker of our own, their system was killed."""
        for run in known:
            if run.status == "running" and run.run_id != self.run_id:
                self._update(run.run_id, _over("aborted", run.finished_at_us, self._run.start_offsets))

    def resume(self, known: Iterable[Experiment]) -> bool:
        """Goes on with the run of this id if it still goes on by its record: its system was killed.

        Raises:
            InvalidInput: that run is over; its dataset is what it is.
        """
        former = next((run for run in known if run.run_id == self.run_id), None)
        if former is None:
            return False
        if former.status != "running":
            msg = f"run {self.run_id!r} is over ({former.status}); give this one another id"
            raise InvalidInput(msg)
        self._run = replace(
            self._run,
            started_at_us=former.started_at_us,
            start_offsets=former.start_offsets,
            writers=former.writers or self._run.writers,
            plan=former.plan,
            fault_free_until_us=former.fault_free_until_us,
            delays_us=former.delays_us or self._run.delays_us,
            machines=tuple(dict.fromkeys((*former.machines, *self._run.machines))),
        )
        # What the clock did meanwhile is not known.
        self._clock_us = None
        return True

    def begin(self) -> None:
        """Writes that the run has begun, and who writes in it."""
        write_run(self._broker, self._run, process=_PROCESS, clock=now_us, topic_prefix=self._prefix)

    def declare_fault_free(self, until_us: int) -> None:
        """Writes until when nothing is to be injected: thresholds are found in what comes before.

        A fault that came meanwhile has ended that time, and it stays so.
        """

        def earlier(run: Experiment) -> Experiment:
            known_us = until_us if run.fault_free_until_us is None else run.fault_free_until_us
            return replace(run, fault_free_until_us=min(known_us, until_us))

        self._update(self.run_id, earlier)

    def end(self, status: RunStatus) -> None:
        """Writes that the run is over, with the offsets reached; a second call does nothing."""
        if self.is_over:
            return
        moved_us = None if self._clock_us is None else clock_difference_us() - self._clock_us
        over = _over(status, now_us(), self._offsets(), moved_us)
        self._update(self.run_id, over)
        self._run = over(self._run)

    def _offsets(self) -> dict[str, int]:
        return log_ends(self._broker, self._prefix)

    def _update(self, run_id: str, change: Callable[[Experiment], Experiment]) -> None:
        update_run(self._broker, run_id, change, process=_PROCESS, clock=now_us, topic_prefix=self._prefix)


def _over(
    status: RunStatus,
    at_us: int | None,
    end_offsets: Mapping[str, int],
    clock_moved_us: int | None = None,
) -> Callable[[Experiment], Experiment]:
    """What ends a run: its writers stay as they were declared meanwhile."""
    return lambda run: replace(
        run,
        status=status,
        finished_at_us=at_us,
        end_offsets=dict(end_offsets),
        clock_moved_us=clock_moved_us,
    )


def _topology_sha256(options: SystemOptions) -> str:
    """Of the file that a target was made of; empty where it was there already."""
    if options.cluster is not None:
        return ""
    return hashlib.sha256(topology_file(options.topology).read_bytes()).hexdigest()


def _load(options: SystemOptions) -> RunLoad:
    curve = asdict(read_topology(options.topology).load)
    return RunLoad(journeys_per_s=options.journeys_per_s, seed=options.seed, **curve)


def ensure_topics(broker: Broker, options: SystemOptions) -> None:
    """Makes the topics that are missing.

    Raises:
        InvalidInput: one is there with another number of partitions.
    """
    broker.admin().ensure_topics(topic_specs(prefix=options.topic_prefix, partitions=options.partitions))
