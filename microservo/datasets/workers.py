"""The shares of a rebuild, each read by a process of its own or, where that does not pay, right here."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from microservo import errors
from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.datasets.merge import Stored
from microservo.datasets.share import Final, Outcome, Read, Settled, Share, Sliced, Step, work
from microservo.datasets.slices import take_up
from microservo.datasets.tasks import task
from microservo.domain.datasets.ledger import LedgerRow

_PAYS_MESSAGES = 8000
"""Fewer are read sooner than a process starts."""
_END_S = 10
_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
"""Has glibc give back what messages took: a third less is held; others don't know these."""

Process = subprocess.Popen[str]
Said = tuple[int, Step | Stored]
"""Number of a share, and its step."""


def most_processes(broker: Broker) -> int:
    """How many processes may pay, however much there is to read; 0 where none does."""
    cores = os.cpu_count() or 1
    return cores if isinstance(broker, KafkaBroker) and cores > 1 else 0


def processes_for(most: int, messages: int, partition_numbers: int) -> int:
    """How many of them pay for reading so many messages; 0 where none does."""
    wanted = min(most, partition_numbers) if messages >= _PAYS_MESSAGES else 0
    return wanted if wanted > 1 else 0


def divided(share: Share, count: int) -> list[Share]:
    """The share in `count` parts, each partition number in one of them, with about equally many messages."""
    load = dict.fromkeys(share.partition_numbers, 0)
    for partition, (first, end) in share.ranges.items():
        load[partition.index] += end - first
    parts: list[list[int]] = [[] for _ in range(count)]
    for number in sorted(load, key=lambda number: (-load[number], number)):
        min(parts, key=lambda part: sum(load[each] for each in part)).append(number)
    return [_part(share, sorted(part)) for part in parts]


def here(broker: Broker, share: Share) -> Iterator[Said]:
    """The steps of the one share, read in this process."""
    with broker.consumer(group_id=None) as consumer:
        for step in work(consumer, share):
            yield 0, _in_memory(step) if isinstance(step, Sliced) else step


class Workers:
    """Processes that read shares; started when this is entered, and ended when it is left.

    They need a moment before they can work, so they are best started before it is known what there is to do.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._open = ExitStack()
        self._processes: list[Process] = []
        self._folders: list[Path] = []
        self._told: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        for number in range(self._count):
            process = self._open.enter_context(_process())
            self._processes.append(process)
            threading.Thread(target=_listen, args=(number, process, self._told), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def give(self, settings: KafkaSettings, shares: Sequence[Share], scratch: Path) -> None:
        """Has a process begin with each share; there must be as many. Rows go through files in `scratch`."""
        for process, share in zip(self._processes, shares, strict=False):
            self._folders.append(Path(self._open.enter_context(tempfile.TemporaryDirectory(dir=scratch))))
            _give(process, task(settings, share, self._folders[-1]))

    def steps(self) -> Iterator[Said]:
        """The steps of all shares as their processes tell them.

        Raises:
            MicroServoError: as a worker met it.
            Fatal: a worker ended without a word.
        """
        left = set(range(len(self._folders)))
        while left:
            number, line = self._told.get()
            if number not in left:
                continue
            step = heard(line, self._folders[number])
            if isinstance(step, Outcome):
                left.discard(number)
            yield number, step


def _in_memory(step: Sliced) -> Stored:
    return Stored(step.number, lambda: step.tables)


def _part(share: Share, numbers: list[int]) -> Share:
    return Share(
        run_id=share.run_id,
        prefix=share.prefix,
        policy=share.policy,
        writers=share.writers,
        partition_numbers=numbers,
        ranges={partition: each for partition, each in share.ranges.items() if partition.index in numbers},
        from_us=share.from_us,
        batch=share.batch,
    )


@contextmanager
def _process() -> Iterator[Process]:
    command = [sys.executable, "-m", "microservo.datasets.worker"]
    # A session of its own: Ctrl-C reaches this process alone, which then ends the workers.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=_MEMORY | os.environ,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait(_END_S)
        process.stdin.close()


def _give(process: Process, given: str) -> None:
    assert process.stdin is not None
    # One that is gone can't be written to; that it is gone is heard when it is listened to.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(given + "\n")
        process.stdin.flush()


def _listen(number: int, process: Process, told: queue.SimpleQueue[tuple[int, str]]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            told.put((number, line))
    told.put((number, ""))


def heard(line: str, folder: Path) -> Step | Stored:
    """The step that a line of a worker tells; an empty one is its end.

    Raises:
        MicroServoError: as the worker met it, of the same kind.
        Fatal: it ended without a word.
    """
    if not line:
        msg = "a worker of the rebuild ended without a word; its standard error says why"
        raise errors.Fatal(msg)
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        raise _error(said["error"], said["message"])
    if "slice" in said:
        return Stored(said["slice"], lambda: take_up(folder, said["slice"]))
    if "read" in said:
        return Read(said["read"])
    if "final" in said:
        return Final(said["final"])
    if "settled" in said:
        return Settled([LedgerRow(**row) for row in said["settled"]])
    return Outcome.from_json(said["outcome"])


def _error(name: str, message: str) -> errors.MicroServoError:
    """The worker's error anew: of its own kind, with its own words."""
    kind: type[errors.MicroServoError] = getattr(errors, name)
    error = kind.__new__(kind)
    error.args = (message,)
    return error
