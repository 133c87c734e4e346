"""A dataset against what the live processor wrote at the time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.adapters.broker import Broker, Message, Partition
from microservo.datasets.verifying import read_manifest
from microservo.datasets.windows import value_hash
from microservo.domain.datasets.manifest import Manifest
from microservo.errors import InvalidInput
from microservo.log.ranges import read_ranges
from schemas import catalogue
from schemas.codec import SchemaError, decode_as
from schemas.records import LabelledWindow


class Revision(NamedTuple):
    """One revision of a window of a run."""

    service: str
    start_us: int
    revision: int

    def __str__(self) -> str:
        return f"window {self.start_us} of {self.service}, revision {self.revision}"


def verify_against_live(folder: Path, broker: Broker, topic_prefix: str = "") -> list[str]:
    """How a dataset differs from `labelled-windows`; empty if it does not.

    Every revision in the dataset must have been written live with the same bytes, and every final window that
    was written live must be in the dataset. The same bytes written more than once are no difference.

    Raises:
        InvalidInput: no manifest, no table of windows, or no such topic.
        OffsetGap: messages of the run are missing.
    """
    manifest = read_manifest(folder)
    rebuilt = _rebuilt(folder)
    problems, seen = [], set()
    with broker.consumer(group_id=None) as consumer:
        for message in read_ranges(consumer, _ranges(manifest, topic_prefix)):
            for revision, sha256, is_final in _live(message, manifest):
                seen.add(revision)
                if revision in rebuilt:
                    if rebuilt[revision] != sha256:
                        problems.append(f"{revision}: {sha256} live, {rebuilt[revision]} in the dataset")
                elif is_final:  # any other may still change, and is left out
                    problems.append(f"{revision}: written live, not in the dataset")
    problems += [
        f"{revision}: in the dataset, never written live" for revision in sorted(rebuilt.keys() - seen)
    ]
    return problems


def _rebuilt(folder: Path) -> dict[Revision, str]:
    try:
        table = pq.read_table(
            folder / "window_revisions.parquet", columns=["service", "start", "revision", "sha256"]
        )
    except (OSError, pa.ArrowException) as error:
        msg = f"{folder} has no table of windows: {error}; rebuild the dataset from the log"
        raise InvalidInput(msg) from error
    starts = table.column("start").cast(pa.int64()).to_pylist()
    columns = (table.column("service").to_pylist(), starts, table.column("revision").to_pylist())
    return dict(zip(map(Revision, *columns), table.column("sha256").to_pylist(), strict=True))


def _ranges(manifest: Manifest, prefix: str) -> dict[Partition, tuple[int, int]]:
    found = {}
    for name, offsets in manifest.offsets.items():
        topic, _, index = name.rpartition("/")
        if topic == catalogue.LABELLED_WINDOWS and offsets[0] < offsets[1]:
            found[Partition(prefix + topic, int(index))] = offsets
    if not found:
        msg = f"the manifest names no offsets of {catalogue.LABELLED_WINDOWS}; the run had no live processor"
        raise InvalidInput(msg)
    return found


def _live(message: Message, manifest: Manifest) -> Iterator[tuple[Revision, str, bool]]:
    """The revision of this run that a message holds, and whether all of its window are in the dataset."""
    if message.value is None:
        return
    try:
        window = decode_as(LabelledWindow, message.value)
    except SchemaError:
        return
    if window.run_id != manifest.run.run_id or not manifest.covers(window.start_us, window.end_us):
        return
    final_us = window.end_us + manifest.policy["final_cut_us"]
    is_final = final_us <= manifest.final_until_us.get(str(message.partition), -1)
    revision = Revision(window.service, window.start_us, window.revision)
    yield revision, value_hash(message.value), is_final
