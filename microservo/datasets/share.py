"""One reader's share of a run: some partition numbers of the joined topics, slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from microservo.adapters.broker import Consumer, Partition
from microservo.adapters.kafka.options import KafkaAccess
from microservo.datasets.join import Join, unfinished_rows
from microservo.datasets.slices import SLICE_US, by_slice
from microservo.domain.datasets.ledger import LedgerRow
from microservo.domain.joined_topics import SOURCES
from microservo.domain.window_policy import WindowPolicy
from microservo.log.ranges import RangeReader, Ranges
from schemas.envelope import FOREVER_US
from schemas.records import RunWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one reader is to do.

    Attributes:
        run_id: run whose records count.
        prefix: put before every topic name.
        policy: how the run's windows were cut.
        writers: who wrote in it.
        partition_numbers: those of the joined topics that are read.
        ranges: their offsets.
        from_us: when the run started.
        is_over: whether the ranges end where the run did.
        batch: the most messages read at a time.
    """

    run_id: str
    prefix: str
    policy: WindowPolicy
    writers: tuple[RunWriter, ...]
    partition_numbers: list[int]
    ranges: Ranges
    from_us: int
    is_over: bool
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker is given: its share, how to reach the broker, and the folder that slices go to."""

    share: Share
    kafka: KafkaAccess
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a share came to beside its rows.

    Attributes:
        totals: per source, the counts of `SourceTotals`.
        final_us: windows that end by then are final, by partition number.
        unfinished: service and start of the windows that are not final.
    """

    totals: dict[str, dict[str, int]]
    final_us: dict[int, int]
    unfinished: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Read:
    """So many messages more were read."""

    messages: int


@dataclass(frozen=True, slots=True)
class Sliced:
    """A slice is complete, by its number."""

    number: int
    tables: dict[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Final:
    """No slice with a lower number than this follows."""

    number: int


@dataclass(frozen=True, slots=True)
class Faults:
    """What messages said of faults at services, and of their effects: their values, as they came."""

    values: list[bytes]


@dataclass(frozen=True, slots=True)
class Actions:
    """What messages said of acts of placement: their values, as they came."""

    values: list[bytes]


@dataclass(frozen=True, slots=True)
class Settled:
    """Counts of the ledger, to be added to those before."""

    rows: list[LedgerRow]


Step = Read | Sliced | Final | Faults | Actions | Settled | Outcome


def read_share(consumer: Consumer, share: Share) -> Iterator[Step]:
    """Reads a share to its end; slices come in their order, the outcome last.

    Raises:
        OffsetGap: messages of the run are missing.
        Retryable: the broker stopped answering.
    """
    join = Join(
        run_id=share.run_id,
        policy=share.policy,
        writers=share.writers,
        partition_numbers=share.partition_numbers,
    )
    reader = RangeReader(consumer, share.ranges, batch=share.batch, from_us=share.from_us)
    released_us = -1
    sources = {share.prefix + source: source for source in SOURCES}
    for messages in reader:
        stands_us = {
            (message.topic, message.partition): join.process_message(sources[message.topic], message)
            for message in messages
        }
        for place, time_us in stands_us.items():
            reader.report_progress(Partition(*place), time_us)
        join.close()
        if join.final_before_us > released_us:
            released_us = join.final_before_us
            yield from _slices(join, released_us)
            yield Final(released_us // SLICE_US)
            yield Settled(join.settled(released_us))
        if values := join.fault_values():
            yield Faults(values)
        if values := join.action_values():
            yield Actions(values)
        yield Read(len(messages))
    if share.is_over:
        join.end_run()
    unfinished = join.unfinished()
    windows = sorted(unfinished)
    yield Settled([*join.settled(FOREVER_US), *unfinished_rows(unfinished)])
    for service, start_us in windows:
        join.windows.discard(service, start_us)
    yield from _slices(join, FOREVER_US)
    yield Final(FOREVER_US)
    yield Outcome(
        totals={source: asdict(audit.totals) for source, audit in join.audits.items()},
        final_us=join.final_us,
        unfinished=windows,
    )


def _slices(join: Join, before_us: int) -> Iterator[Sliced]:
    found: dict[int, dict[str, pa.Table]] = {}
    for name, windows in join.windows.release(before_us).items():
        for number, table in by_slice(windows, "start"):
            found.setdefault(number, {})[name] = table
    for signal, rows in join.rows.items():
        for number, table in rows.release(before_us):
            found.setdefault(number, {})[f"{signal}.parquet"] = table
    for number in sorted(found):
        yield Sliced(number, found[number])
