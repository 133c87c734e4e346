"""A dataset from the log: the offset ranges of a run through the windower that ran live, into files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker, Message
from microservo.adapters.kafka import KafkaBroker
from microservo.datasets.collector import FactCollector
from microservo.datasets.derived import with_derived_files
from microservo.datasets.draft import draft, writing
from microservo.datasets.files import TableFile, file_hash, write_table
from microservo.datasets.garbage import seldom_collected
from microservo.datasets.merge import Merge, Stored, merged_outcome
from microservo.datasets.report import write_report
from microservo.datasets.share import Actions, Faults, Final, Outcome, Read, Settled, Share
from microservo.datasets.slices import Tables
from microservo.datasets.tables import TABLES
from microservo.datasets.versions import versions
from microservo.datasets.windows import WINDOW_TABLES
from microservo.datasets.workers import (
    Numbered,
    Workers,
    divided,
    in_this_process,
    most_processes,
    processes_for,
)
from microservo.domain.datasets.card import dataset_card
from microservo.domain.datasets.ledger import LedgerRow
from microservo.domain.datasets.manifest import MANIFEST, FileEntry, Manifest, RunFacts, tables_hash
from microservo.domain.joined_topics import SOURCES
from microservo.domain.window_policy import WindowPolicy
from microservo.log.evaluations import evaluations
from microservo.log.ranges import BATCH, RangeReader, Ranges
from microservo.log.runs import FACTS, RunLog, run_log
from microservo.retry import retry
from schemas.files import schema_ids
from schemas.records import Evaluation, Experiment

Progress = Callable[[int, int], None]
"""Called with messages read so far and in all."""

_TIMEOUT_S = 10.0
_STREAMED = (*WINDOW_TABLES, "metrics.parquet", "logs.parquet", "traces.parquet")


def rebuild(
    broker: Broker,
    *,
    run_id: str,
    out_dir: Path,
    topic_prefix: str = "",
    progress: Progress | None = None,
    batch: int = BATCH,
    policy: WindowPolicy | None = None,
    processes: int | None = None,
) -> Manifest:
    """Builds the dataset of a run; the same offsets give the same content hash, everywhere.

    It is built beside `out_dir` and renamed at the end, so a dataset is there whole or not at all. Memory is
    bounded by the pace of the run, not by its length.

    Args:
        broker: where the run's topics are.
        run_id: the run; it may still go on, then the dataset ends where the log ends now.
        out_dir: folder to make; it must not hold anything yet.
        topic_prefix: put before every topic name.
        progress: called after every batch of messages.
        batch: the most messages read at a time; changes nothing but the speed.
        policy: how the windows were cut; by default what the run itself says.
        processes: how many read the joined topics of a real broker, 0 for this one alone; by default as many
            as pay. Changes nothing but the speed.

    Raises:
        InvalidInput: no such run, or `out_dir` is not empty or can't be made.
        OffsetGap: messages of the run are missing.
        Unavailable: there is no room for the dataset.
        Retryable: the broker stopped answering.
        Fatal: a process that read for it ended too early.
    """
    most = most_processes(broker) if processes is None else processes
    with (
        seldom_collected(),
        draft(out_dir) as (folder, scratch),
        Workers(most) as workers,
        broker.consumer(group_id=None) as consumer,
    ):
        # Topics that were just made have no leaders yet.
        log = retry(lambda: run_log(consumer, run_id, topic_prefix), timeout_s=_TIMEOUT_S)
        facts, joined = log.ranges(*FACTS), log.ranges(*SOURCES)
        steps = _Steps(progress, [facts, joined])
        with _Build(log, folder, scratch, policy or _policy(log.run), out_dir) as build:
            share = build.share(joined, batch)
            if processes is None:
                processes = processes_for(most, steps.total, len(share.partition_numbers))
            shares = divided(share, processes) if isinstance(broker, KafkaBroker) and processes else []
            if isinstance(broker, KafkaBroker):
                workers.assign(broker.settings, shares, scratch)
            for messages in RangeReader(consumer, facts, batch=batch):
                build.add_facts(messages)
                steps.done(len(messages))
            # Read here because the workers, if there are any, have hardly begun.
            found = evaluations(broker, run_id, topic_prefix)
            numbered = workers.steps() if shares else in_this_process(broker, share)
            outcome = _joined(numbered, max(1, len(shares)), build, steps)
            return build.finish(outcome, found)


def _joined(numbered: Iterator[Numbered], readers: int, build: _Build, steps: _Steps) -> Outcome:
    """Puts what the readers of the joined topics give into the files that grow."""
    merge = Merge(readers, build.policy)
    outcomes: dict[int, Outcome] = {}
    for number, step in numbered:
        if isinstance(step, Stored):
            merge.add(number, step)
        elif isinstance(step, Final):
            for tables in merge.advance(number, step.number):
                build.append(tables)
        elif isinstance(step, Faults):
            build.add_faults(step.values)
        elif isinstance(step, Actions):
            build.add_actions(step.values)
        elif isinstance(step, Settled):
            build.add_ledger_rows(step.rows)
        elif isinstance(step, Read):
            steps.done(step.messages)
        elif isinstance(step, Outcome):
            outcomes[number] = step
    return merged_outcome([outcomes[number] for number in sorted(outcomes)])


class _Steps:
    """Counts messages for the progress display."""

    def __init__(self, progress: Progress | None, ranges: list[Ranges]) -> None:
        self._progress = progress
        self.total = sum(end - first for each in ranges for first, end in each.values())
        self._done = 0

    def done(self, messages: int) -> None:
        self._done += messages
        if self._progress:
            self._progress(self._done, self.total)


class _Build:
    """The files of a dataset while they grow.

    Args:
        log: the run and its offsets.
        folder: where the files go.
        scratch: for what must wait before it can be written.
        policy: how the windows were cut.
        out_dir: the folder as errors call it.
    """

    def __init__(self, log: RunLog, folder: Path, scratch: Path, policy: WindowPolicy, out_dir: Path) -> None:
        self._log = log
        self._folder = folder
        self._out_dir = out_dir
        self.policy = policy
        self._open = ExitStack()
        self._writer = ThreadPoolExecutor(1, "writer")
        self._appended: Future[None] = self._writer.submit(lambda: None)
        with writing(out_dir):
            self._facts = FactCollector(log.run.run_id, log.prefix, scratch)
            self._files = {
                name: self._open.enter_context(TableFile(folder / name, TABLES[name])) for name in _STREAMED
            }

    def share(self, ranges: Ranges, batch: int) -> Share:
        """All that there is to read of the joined topics."""
        return Share(
            run_id=self._log.run.run_id,
            prefix=self._log.prefix,
            policy=self.policy,
            writers=self._log.run.writers,
            partition_numbers=self._log.partition_numbers(),
            ranges=ranges,
            from_us=self._log.run.started_at_us,
            is_over=self._log.run.status != "running",
            batch=batch,
        )

    def add_facts(self, messages: list[Message]) -> None:
        """Adds messages of the topics that go into a dataset as they are."""
        with writing(self._out_dir):
            self._facts.add_messages(messages)

    def add_faults(self, values: list[bytes]) -> None:
        """Adds what was said of faults at services, and of their effects."""
        with writing(self._out_dir):
            self._facts.add_faults(values)

    def add_actions(self, values: list[bytes]) -> None:
        """Adds what was said of acts of placement."""
        with writing(self._out_dir):
            self._facts.add_actions(values)

    def add_ledger_rows(self, rows: list[LedgerRow]) -> None:
        """Adds counts of the ledger."""
        with writing(self._out_dir):
            self._facts.add_ledger_rows(rows)

    def append(self, tables: Tables) -> None:
        """Adds the next rows of the large tables, in a thread: meanwhile the rows behind them are merged.

        Those before must be written, so no more than these are held.
        """
        self._appended.result()
        self._appended = self._writer.submit(self._append, tables)

    def _append(self, tables: Tables) -> None:
        with writing(self._out_dir):
            for name, rows in tables.items():
                self._files[name].append(rows)

    def finish(self, outcome: Outcome, found: Sequence[Evaluation]) -> Manifest:
        """Writes what is left, and all about it; what was found of algorithms goes into the report."""
        self._appended.result()
        with writing(self._out_dir):
            with ThreadPoolExecutor() as pool:
                # All that there was to read is read: the processors are free.
                closed = pool.map(TableFile.close, self._files.values())
                tables = self._facts.tables()
                files = [write_table(self._folder / name, TABLES[name], rows) for name, rows in tables]
                files += closed
            manifest = self._manifest(tuple(sorted(files, key=lambda file: file.name)), outcome)
            return described(self._folder, manifest, found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.shutdown()
        self._open.__exit__(exc_type, exc, traceback)

    def _manifest(self, files: tuple[FileEntry, ...], outcome: Outcome) -> Manifest:
        return Manifest(
            run=_run_facts(self._log),
            policy=asdict(self.policy),
            offsets={f"{topic}/{index}": ends for (topic, index), ends in sorted(self._log.offsets.items())},
            schema_ids={f"{name}.v{version}": number for (name, version), number in schema_ids().items()},
            versions=versions(),
            totals=outcome.totals | self._facts.totals,
            final_until_us={
                str(index): final_us + self.policy.final_cut_us
                for index, final_us in outcome.final_us.items()
            },
            unfinished_windows=len(outcome.unfinished),
            files=files,
            content_hash=tables_hash(files),
        )


def described(folder: Path, manifest: Manifest, found: Sequence[Evaluation]) -> Manifest:
    """The manifest with what is made of the tables, the card and the report, all written."""
    manifest = with_derived_files(folder, manifest)
    (folder / "README.md").write_text(dataset_card(manifest), "utf-8")
    write_report(folder, manifest, found)
    described = []
    for name in ("README.md", "report.html"):
        size_bytes, sha256 = file_hash(folder / name)
        described.append(FileEntry(name=name, size_bytes=size_bytes, sha256=sha256))
    whole = manifest.with_files(*described)
    (folder / MANIFEST).write_text(whole.to_json(), "utf-8")
    return whole


def _policy(run: Experiment) -> WindowPolicy:
    return WindowPolicy(size_us=run.window_us, first_cut_us=run.first_cut_us, final_cut_us=run.final_cut_us)


def _run_facts(log: RunLog) -> RunFacts:
    run = log.run
    return RunFacts(
        run_id=run.run_id,
        status=run.status,
        seed=run.seed,
        target=run.target,
        started_at_us=run.started_at_us,
        finished_at_us=run.finished_at_us,
        versions=dict(sorted(run.versions.items())),
        partitions=len(log.partition_numbers()),
        topology_sha256=run.topology_sha256,
        loads=run.loads,
        machines=run.machines,
        plan=tuple(replace(fault, parameters=dict(sorted(fault.parameters.items()))) for fault in run.plan),
        delays_us=dict(sorted(run.delays_us.items())),
        clock_moved_us=run.clock_moved_us,
        fault_free_until_us=run.fault_free_until_us,
    )
