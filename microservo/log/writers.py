"""Who writes the joined topics of a run: declared in the run's record before they write, until they leave.

Windows wait for every declared writer, so none may stamp anything before all that cut windows know of it::

    declared                                                     from_us: its first stamp
       |------------------------- JOIN_AHEAD_US -------------------------|
       |-- _PUBLISH_US --| durable by then
                         |--------- LEASE_US ---------| a labeller that knew the record up to here
                                                        cuts no window beyond there

What is left of the margin is how far clocks may differ. Wall clocks only delay here: which window a record
belongs to, and in which revision, is decided by its stamp and the record of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from microservo.adapters.broker import Broker
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.errors import InvalidInput, Retryable
from microservo.log.run_records import KnownRuns, update_run
from microservo.log.stamped import QUIET_US, write_final_stamp
from schemas import catalogue
from schemas.records import Experiment, RunWriter

COLLECTOR_WRITER = "telemetry-collector"
INJECTOR_WRITER = "fault-injector"
OBSERVER_WRITER = "effect-observer"
JOIN_AHEAD_US = 10_000_000
LEASE_US = 5_000_000
GONE_AFTER_US = 60_000_000
"""After such a silence a run goes on without a manager; one that is back writes in it under another name."""
TELEMETRY = (catalogue.TELEMETRY_METRICS, catalogue.TELEMETRY_LOGS, catalogue.TELEMETRY_TRACES)
"""What a collector writes, by logical name."""

_PUBLISH_US = 2_000_000
_ATTEMPTS = 10


def writers_from(from_us: int, *, first_cut_us: int, final_cut_us: int) -> tuple[RunWriter, ...]:
    """The writers that a run begins with: one collector, one injector."""
    cuts_us = {"first_cut_us": first_cut_us, "final_cut_us": final_cut_us}
    return (
        *telemetry_writer(COLLECTOR_WRITER, from_us, **cuts_us),
        RunWriter(topic=catalogue.SERVICE_FAULTS, writer=INJECTOR_WRITER, from_us=from_us, **cuts_us),
    )


def telemetry_writer(
    name: str, from_us: int, *, first_cut_us: int, final_cut_us: int
) -> tuple[RunWriter, ...]:
    """A collector of telemetry that a run begins with, on each of its topics."""
    return tuple(
        RunWriter(
            topic=topic, writer=name, from_us=from_us, first_cut_us=first_cut_us, final_cut_us=final_cut_us
        )
        for topic in TELEMETRY
    )


def observer_from(from_us: int, *, final_cut_us: int) -> RunWriter:
    """The writer of a run whose effects are measured.

    Revision 0 never waits for it, since it looks at what others have written; all later ones do.
    """
    return RunWriter(
        topic=catalogue.FAULT_EFFECTS,
        writer=OBSERVER_WRITER,
        from_us=from_us,
        first_cut_us=NEVER_WAITS_US,
        final_cut_us=final_cut_us,
    )


def declare_writer(
    broker: Broker,
    *,
    run_id: str,
    writer: str,
    topics: Sequence[str],
    process: str,
    clock: Callable[[], int],
    wait: Callable[[float], object],
    topic_prefix: str = "",
    first_cut_us: int | None = None,
    final_cut_us: int | None = None,
) -> int:
    """Enters a writer into the record of its run, where it isn't yet, and returns once it may write.

    Args:
        broker: where the run is.
        run_id: the run.
        writer: its stable name.
        topics: logical names of the joined topics that it writes.
        process: what it is, as the contract names it.
        clock: epoch microseconds UTC.
        wait: waits so many seconds.
        topic_prefix: put before every topic name.
        first_cut_us: how long after a window's end its records are on time; by default as the run says.
        final_cut_us: how long they are accepted; by default as the run says.

    Returns:
        Microseconds UTC from which it counts: it must stamp nothing below. A run that nobody recorded needs
        no declaration; then it is 0.

    Raises:
        InvalidInput: the run is over, or the writer has left it.
        Retryable: the broker is away or slow; try again.
    """
    entry = _Entry(writer, topics, clock, first_cut_us, final_cut_us)
    for _ in range(_ATTEMPTS):
        run = update_run(broker, run_id, entry.enter, process=process, clock=clock, topic_prefix=topic_prefix)
        if run is None:
            return 0
        from_us = max(each.from_us for each in _entries(run.writers, writer, topics))
        if not entry.is_new:
            wait(max(0, from_us - clock()) / 1e6)
            return from_us
        if clock() < entry.made_at_us + _PUBLISH_US:
            # Known in time, to all; unless another that wrote at the same moment has undone it.
            wait(max(0, from_us - clock()) / 1e6)
            entry.keep()
    msg = f"{writer} could not be declared for run {run_id!r} in time: the broker is too slow; try again"
    raise Retryable(msg)


class _Entry:
    """A writer's entries in the record of its run, until they are known to be there in time."""

    def __init__(
        self,
        writer: str,
        topics: Sequence[str],
        clock: Callable[[], int],
        first_cut_us: int | None,
        final_cut_us: int | None,
    ) -> None:
        self._writer = writer
        self._topics = topics
        self._clock = clock
        self._first_cut_us = first_cut_us
        self._final_cut_us = final_cut_us
        self._tried: set[RunWriter] = set()
        self.made_at_us = 0
        self.is_new = False
        """Whether the last record lacked an entry, or had one that came too late."""

    def keep(self) -> None:
        """Keeps the entries that were made so far."""
        self._tried.clear()

    def enter(self, run: Experiment) -> Experiment:
        """The record with an entry for every topic; those that were tried before are made anew."""
        _refuse_gone(run, self._writer, self._topics)
        others = [each for each in run.writers if each not in self._tried]
        missing = [topic for topic in self._topics if not _entries(others, self._writer, [topic])]
        first_us = run.first_cut_us if self._first_cut_us is None else self._first_cut_us
        final_us = run.final_cut_us if self._final_cut_us is None else self._final_cut_us
        # A source that waits longer joins later: no window that it could still reach may have been cut.
        slower_us = max(0, first_us - run.first_cut_us, final_us - run.final_cut_us)
        self.made_at_us = self._clock()
        from_us = self.made_at_us + JOIN_AHEAD_US + slower_us
        entries = [
            RunWriter(
                topic=topic,
                writer=self._writer,
                from_us=from_us,
                first_cut_us=first_us,
                final_cut_us=final_us,
            )
            for topic in missing
        ]
        self._tried.update(entries)
        self.is_new = bool(entries)
        return replace(run, writers=(*others, *entries))


def retire_writer(
    broker: Broker,
    *,
    run_id: str,
    writer: str,
    process: str,
    clock: Callable[[], int],
    topic_prefix: str = "",
    quiet_us: int = QUIET_US,
) -> None:
    """Ends the part of a writer that was stopped for good, so that windows wait for it no longer.

    Its final stamp is written in its name on every topic that it was declared for. It can't come back to
    the run.

    Args:
        broker: where the run is.
        run_id: the run.
        writer: its stable name.
        process: who retires it, as the contract names it.
        clock: epoch microseconds UTC.
        topic_prefix: put before every topic name.
        quiet_us: how long it must have been silent.

    Raises:
        InvalidInput: there is no such run or writer, or it still writes.
        Retryable: the broker is away for now; what was not done yet is done by another call.
    """
    known = KnownRuns(broker, topic_prefix, clock)
    try:
        known.refresh()
    finally:
        known.close()
    run = known.get(run_id)
    topics = [each.topic for each in run.writers if each.writer == writer] if run else []
    if not topics:
        names = sorted({each.writer for each in run.writers}) if run else []
        msg = f"no writer {writer!r} in run {run_id!r}; its record declares: {', '.join(names) or 'none'}"
        raise InvalidInput(msg)
    for topic in topics:
        write_final_stamp(
            broker, topic_prefix + topic, writer=writer, run_id=run_id, clock=clock, quiet_us=quiet_us
        )
    end_part(broker, run_id=run_id, writer=writer, process=process, clock=clock, topic_prefix=topic_prefix)


def end_part(
    broker: Broker,
    *,
    run_id: str,
    writer: str,
    process: str,
    clock: Callable[[], int],
    topic_prefix: str = "",
) -> None:
    """Enters into the record of a run that a writer has left it, once its final stamps are written.

    Args:
        broker: where the run is.
        run_id: the run.
        writer: its stable name.
        process: who enters it, as the contract names it.
        clock: epoch microseconds UTC.
        topic_prefix: put before every topic name.

    Raises:
        Retryable: the broker is away for now.
    """
    until_us = clock()

    def end(run: Experiment) -> Experiment:
        ended = [
            replace(each, until_us=until_us) if each.writer == writer and each.until_us is None else each
            for each in run.writers
        ]
        return replace(run, writers=tuple(ended))

    update_run(broker, run_id, end, process=process, clock=clock, topic_prefix=topic_prefix)


def _entries(writers: Iterable[RunWriter], writer: str, topics: Sequence[str]) -> list[RunWriter]:
    return [each for each in writers if each.writer == writer and each.topic in topics]


def _refuse_gone(run: Experiment, writer: str, topics: Sequence[str]) -> None:
    if run.status != "running":
        msg = f"run {run.run_id!r} is over ({run.status}); {writer} can't write in it any more"
        raise InvalidInput(msg)
    if any(each.until_us is not None for each in _entries(run.writers, writer, topics)):
        msg = f"{writer} has left run {run.run_id!r} for good; set MICROSERVO_WRITER to another name"
        raise InvalidInput(msg)
