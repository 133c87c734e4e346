"""A fault-free run in one file: its telemetry in the order it came, and how far event time had come."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from microservo.adapters.broker import Broker, Message
from microservo.application.progress import Progress
from microservo.domain.graph import OUTSIDE
from microservo.domain.telemetry import Batch, span_columns
from microservo.domain.watermarks import Watermarks
from microservo.errors import Unavailable
from microservo.log.ranges import read_ranges
from microservo.log.runs import find_run
from microservo.log.writers import TELEMETRY
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.count_down import count_down
from schemas.catalogue import SERVICE_GRAPH
from schemas.codec import decode
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import Experiment, RunWriter, ServiceGraph, SpanBatch

LOOK_US = 200_000
"""How far event time moves between two looks of the observer."""
MOST_FAILED = 0.2
_PART_US = 10_000_000
_LEAST_REQUESTS = 20
_HEAD = struct.Struct("<qI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a recording is of.

    Attributes:
        begin_us: event time of its first look, likewise `end_us` of its last.
        edges: who called whom at any time.
    """

    run_id: str
    seed: int
    journeys_per_s: float
    begin_us: int
    end_us: int
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Telemetry, decoded, and the watermark after it: all of it up to there has come but for what is late."""

    described: Described
    steps: Sequence[tuple[int, tuple[Batch, ...]]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The recording in a file that `record` wrote."""
        data = path.read_bytes()
        length = int.from_bytes(data[:4], "little")
        facts = json.loads(data[4 : 4 + length])
        edges = tuple((caller, callee) for caller, callee in facts.pop("edges"))
        steps: list[tuple[int, tuple[Batch, ...]]] = []
        waiting: list[Batch] = []
        for watermark_us, value in _entries(data, 4 + length):
            if value:
                record = decode(value)
                if isinstance(record, Batch):
                    waiting.append(record)
            else:
                steps.append((watermark_us, tuple(waiting)))
                waiting = []
        return cls(described=Described(**facts, edges=edges), steps=steps)


def record(options: SystemOptions, minutes: float, path: Path, progress: Progress) -> None:
    """Runs a system without faults for so long, and writes what it sent.

    Raises:
        Unavailable: a part of it did not get ready, or the machine could not carry the load: what fails then
            is no normal that faults could be held against.
    """
    with EmbeddedSystem(options, progress) as system:
        system.start()
        count_down(progress, f"{options.journeys_per_s:g} journeys/s without faults", minutes * 60)
        system.finish_run()
        system.stop_processes()
        with progress.stage("recording") as stage:
            size_bytes = write(system.broker, system.run_id, options, path)
            stage.show(f"{size_bytes / 2**20:.0f} MiB in {path}")
    if (failed := most_failed(Recording.read(path))) > MOST_FAILED:
        path.unlink()
        msg = (
            f"{failed:.0%} of the users' requests failed within ten seconds without any fault: the machine "
            f"can't carry {options.journeys_per_s:g} journeys/s now; give lower --rates"
        )
        raise Unavailable(msg)


def most_failed(recording: Recording) -> float:
    """The largest share of the users' requests that failed within ten seconds."""
    batches = [
        batch
        for _, batches in recording.steps
        for batch in batches
        if isinstance(batch, SpanBatch) and batch.service in OUTSIDE
    ]
    if not batches:
        return 0.0
    columns = [span_columns(batch) for batch in batches]
    part = np.concatenate([each.start_us for each in columns]) // _PART_US
    failed = np.concatenate([each.error for each in columns])
    _, places, counts = np.unique(part, return_inverse=True, return_counts=True)
    return float((np.bincount(places, failed) / counts)[counts >= _LEAST_REQUESTS].max(initial=0.0))


def write(broker: Broker, run_id: str, options: SystemOptions, path: Path) -> int:
    """Writes the telemetry of a run that lies on a broker, and returns how many bytes it takes."""
    log = find_run(broker, run_id, options.topic_prefix)
    with broker.consumer(group_id=None) as consumer:
        messages = list(read_ranges(consumer, log.ranges(*TELEMETRY)))
        graphs = [
            record
            for message in read_ranges(consumer, log.ranges(SERVICE_GRAPH))
            if isinstance(record := decode(message.value or b""), ServiceGraph)
        ]
    entries = list(_in_order(messages, log.run, log.partition_numbers(), options.topic_prefix))
    looks = [watermark_us for watermark_us, value in entries if not value]
    described = Described(
        run_id=run_id,
        seed=options.seed,
        journeys_per_s=options.journeys_per_s,
        begin_us=looks[0],
        end_us=looks[-1],
        edges=tuple(
            sorted({edge for each in graphs for edge in zip(each.callers, each.callees, strict=True)})
        ),
    )
    head = json.dumps(asdict(described)).encode()
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file:
        file.write(len(head).to_bytes(4, "little") + head)
        for watermark_us, value in entries:
            file.write(_HEAD.pack(watermark_us, len(value)) + value)
    partial.replace(path)
    return path.stat().st_size


def _in_order(
    messages: Sequence[Message], run: Experiment, partitions: Sequence[int], prefix: str
) -> Iterator[tuple[int, bytes]]:
    """Values in the order in which they came, with an empty one at each look."""
    declared = [writer for writer in run.writers if writer.topic in TELEMETRY]
    marks = {index: _watermarks(declared, run) for index in partitions}
    looked_us = 0
    for message in sorted(messages, key=lambda each: each.timestamp_us):
        stamp = Stamp.read(message.headers)
        if stamp.run != run.run_id or stamp.watermark_us == FOREVER_US:
            continue
        marks[message.partition].observe(message.topic.removeprefix(prefix), stamp)
        if message.value:
            yield 0, message.value
        watermark_us = min(each.advance().first_us for each in marks.values())
        if watermark_us >= looked_us + LOOK_US:
            looked_us = watermark_us
            yield watermark_us, b""


def _watermarks(declared: Sequence[RunWriter], run: Experiment) -> Watermarks:
    watermarks = Watermarks(TELEMETRY, first_cut_us=run.first_cut_us, final_cut_us=run.final_cut_us)
    watermarks.declare(declared)
    return watermarks


def _entries(data: bytes, begin: int) -> Iterator[tuple[int, bytes]]:
    while begin < len(data):
        watermark_us, length = _HEAD.unpack_from(data, begin)
        begin += _HEAD.size
        yield watermark_us, data[begin : begin + length]
        begin += length
