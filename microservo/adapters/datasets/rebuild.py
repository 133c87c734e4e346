"""A dataset from the log: the offset ranges of a run through the windower that ran live, into files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from microservo.adapters.broker import Broker, Message, Partition
from microservo.adapters.datasets.facts import (
    fault_events_table,
    faults_table,
    graph_table,
    ledger_table,
    scores_table,
)
from microservo.adapters.datasets.files import TableFile, file_hash, write_table
from microservo.adapters.datasets.join import Join
from microservo.adapters.datasets.ranges import BATCH, RangeReader, Ranges
from microservo.adapters.datasets.report import write_report
from microservo.adapters.datasets.runs import RunLog, find_run
from microservo.adapters.datasets.tables import TABLES
from microservo.adapters.datasets.versions import versions
from microservo.domain.datasets.card import dataset_card
from microservo.domain.datasets.manifest import MANIFEST, FileEntry, Manifest, RunFacts, tables_hash
from microservo.domain.windows import SOURCES, WindowPolicy
from microservo.errors import InvalidInput
from schemas import catalogue
from schemas.codec import SchemaError, decode
from schemas.files import schema_ids
from schemas.records import AnomalyScore, Experiment, FaultEvent, ServiceGraph

Progress = Callable[[int, int], None]
"""Called with messages read so far and in all."""

_FOREVER_US = 1 << 62
_STREAMED = ("windows.parquet", "metrics.parquet", "logs.parquet", "traces.parquet")


def rebuild(
    broker: Broker,
    *,
    run_id: str,
    out_dir: Path,
    topic_prefix: str = "",
    progress: Progress | None = None,
    batch: int = BATCH,
    policy: WindowPolicy | None = None,
) -> Manifest:
    """Builds the dataset of a run; the same offsets give the same content hash, everywhere.

    It is built beside `out_dir` and renamed at the end, so a dataset is there whole or not at all. Memory is
    bounded by the pace of the run, not by its length.

    Args:
        broker: where the run's topics are.
        run_id: the run; it may still go on, then the dataset ends where the log ends now.
        out_dir: folder to make; it must not hold anything yet.
        topic_prefix: put before every topic name.
        progress: told after every batch of messages.
        batch: the most messages read at a time; changes nothing but the speed.
        policy: how the windows were cut; by default what the run itself says.

    Raises:
        InvalidInput: no such run, or `out_dir` is not empty.
        OffsetGap: messages of the run are missing.
        Retryable: the broker stopped answering.
    """
    if out_dir.is_dir() and any(out_dir.iterdir()):
        msg = f"{out_dir} is not empty; give a new folder or remove it"
        raise InvalidInput(msg)
    log = find_run(broker, run_id, topic_prefix)
    with _beside(out_dir) as folder:
        build = _Build(log, folder, policy or _policy(log.run))
        with broker.consumer(group_id=None) as consumer:
            facts, joined = log.ranges(*FACT_TYPES), log.ranges(*SOURCES)
            steps = _Steps(progress, [facts, joined])
            for messages in RangeReader(consumer, facts, batch=batch):
                build.facts(messages)
                steps.done(messages)
            reader = RangeReader(consumer, joined, batch=batch, from_us=log.run.started_at_us)
            for messages in reader:
                build.joined(messages, reader)
                steps.done(messages)
        return build.finish()


FACT_TYPES: dict[str, type[FaultEvent] | type[ServiceGraph] | type[AnomalyScore]] = {
    catalogue.FAULT_EVENTS: FaultEvent,
    catalogue.SERVICE_GRAPH: ServiceGraph,
    catalogue.ANOMALY_SCORES: AnomalyScore,
}


class _Steps:
    """Counts messages for whoever watches."""

    def __init__(self, progress: Progress | None, ranges: list[Ranges]) -> None:
        self._progress = progress
        self._total = sum(end - first for each in ranges for first, end in each.values())
        self._done = 0

    def done(self, messages: list[Message]) -> None:
        self._done += len(messages)
        if self._progress:
            self._progress(self._done, self._total)


class _Build:
    """The files of a dataset while they grow."""

    def __init__(self, log: RunLog, folder: Path, policy: WindowPolicy) -> None:
        self._log = log
        self._folder = folder
        self._policy = policy
        self._join = Join(run_id=log.run.run_id, policy=policy, partition_numbers=log.partition_numbers())
        self._facts: dict[str, list[object]] = {topic: [] for topic in FACT_TYPES}
        self._unreadable = dict.fromkeys(FACT_TYPES, 0)
        self._released_us = -1
        self._open = ExitStack()
        self._files = {
            name: self._open.enter_context(TableFile(folder / name, TABLES[name])) for name in _STREAMED
        }

    def facts(self, messages: list[Message]) -> None:
        """Takes in messages of the topics that go in as they are."""
        for message in messages:
            topic = message.topic.removeprefix(self._log.prefix)
            record = _record(message)
            if not isinstance(record, FACT_TYPES[topic]):
                self._unreadable[topic] += 1
            elif record.run_id == self._log.run.run_id:
                self._facts[topic].append(record)

    def joined(self, messages: list[Message], reader: RangeReader) -> None:
        """Takes in messages of the joined topics, and writes what is complete by then."""
        for message in messages:
            source = message.topic.removeprefix(self._log.prefix)
            stamp_us = self._join.take(source, message)
            reader.stands_at(Partition(message.topic, message.partition), stamp_us)
        self._join.close()
        if self._join.final_before_us > self._released_us:
            self._release(self._join.final_before_us)

    def finish(self) -> Manifest:
        """Writes what is left, and all about it."""
        unfinished = self._join.unfinished()
        windows = {(service, start_us) for _, service, start_us in unfinished}
        for service, start_us in windows:
            self._join.windows.discard(service, start_us)
        self._release(_FOREVER_US)
        with self._open:
            files = [file.close() for file in self._files.values()]
        files += [write_table(self._folder / name, table) for name, table in self._small_tables(unfinished)]
        manifest = self._manifest(tuple(sorted(files, key=lambda file: file.name)), len(windows))
        return _described(self._folder, manifest)

    def _release(self, before_us: int) -> None:
        self._files["windows.parquet"].append(self._join.windows.release(before_us))
        for signal, rows in self._join.rows.items():
            self._files[f"{signal}.parquet"].append(rows.release(before_us))
        self._released_us = before_us

    def _small_tables(self, unfinished: dict[tuple[str, str, int], int]) -> Iterator[tuple[str, pa.Table]]:
        events = self._facts[catalogue.FAULT_EVENTS]
        yield "fault_events.parquet", fault_events_table(events)  # type: ignore[arg-type]
        yield "faults.parquet", faults_table(events)  # type: ignore[arg-type]
        yield "graph.parquet", graph_table(self._facts[catalogue.SERVICE_GRAPH])  # type: ignore[arg-type]
        yield "scores.parquet", scores_table(self._facts[catalogue.ANOMALY_SCORES])  # type: ignore[arg-type]
        yield "ledger.parquet", ledger_table(self._join.ledger(unfinished))

    def _manifest(self, files: tuple[FileEntry, ...], unfinished: int) -> Manifest:
        totals = {source: asdict(audit.totals) for source, audit in self._join.audits.items()}
        facts = {
            topic: {"records": len(records), "unreadable": self._unreadable[topic]}
            for topic, records in self._facts.items()
        }
        return Manifest(
            run=_run_facts(self._log.run),
            policy=asdict(self._policy),
            offsets={f"{topic}/{index}": ends for (topic, index), ends in sorted(self._log.offsets.items())},
            schema_ids={f"{name}.v{version}": number for (name, version), number in schema_ids().items()},
            versions=versions(),
            totals=totals | facts,
            final_until_us={str(index): time_us for index, time_us in self._join.watermarks_us.items()},
            unfinished_windows=unfinished,
            files=files,
            content_hash=tables_hash(files),
        )


def _described(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with the card and the report, all written."""
    (folder / "README.md").write_text(dataset_card(manifest), "utf-8")
    write_report(folder, manifest)
    described = []
    for name in ("README.md", "report.html"):
        size_bytes, sha256 = file_hash(folder / name)
        described.append(FileEntry(name=name, size_bytes=size_bytes, sha256=sha256))
    whole = manifest.with_files(*described)
    (folder / MANIFEST).write_text(whole.to_json(), "utf-8")
    return whole


@contextmanager
def _beside(out_dir: Path) -> Iterator[Path]:
    """A new folder that becomes `out_dir` if all goes well, and goes away if not."""
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.partial-", dir=out_dir.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.replace(out_dir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _record(message: Message) -> object:
    try:
        return decode(message.value or b"")
    except SchemaError:
        return None


def _policy(run: Experiment) -> WindowPolicy:
    return WindowPolicy(size_us=run.window_us, first_cut_us=run.first_cut_us, final_cut_us=run.final_cut_us)


def _run_facts(run: Experiment) -> RunFacts:
    return RunFacts(
        run_id=run.run_id,
        status=run.status,
        seed=run.seed,
        target=run.target,
        started_at_us=run.started_at_us,
        finished_at_us=run.finished_at_us,
        versions=dict(sorted(run.versions.items())),
    )
