"""The shares of a rebuild, each read by a process of its own or, where that does not pay, right here."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.processes import child_environment, python_argv
from microservo.datasets.merge import Stored
from microservo.datasets.share import Outcome, Share, Sliced, Step, Task, read_share
from microservo.datasets.slices import Kept, load
from microservo.errors import Fatal, MicroServoError

_PAYS_MESSAGES = 8000
"""Fewer are read sooner than a process starts."""
_END_S = 10
_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
"""Has glibc give back what messages took: a third less is held; others don't know these."""

Process = subprocess.Popen[bytes]
Numbered = tuple[int, Step | Stored]
"""Number of a share, and its step."""
Arrived = tuple[int, Step | Kept | MicroServoError | None]
"""Number of a worker, and its step, its error, or None at its end."""


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


def in_this_process(broker: Broker, share: Share) -> Iterator[Numbered]:
    """The steps of the one share, read in this process."""
    with broker.consumer(group_id=None) as consumer:
        for step in read_share(consumer, share):
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
        self._arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        for number in range(self._count):
            process = self._open.enter_context(_process())
            self._processes.append(process)
            threading.Thread(target=_listen, args=(number, process, self._arrived), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def assign(self, settings: KafkaSettings, shares: Sequence[Share], scratch: Path) -> None:
        """Starts a process for each share; no more than there are. Rows go through files in `scratch`."""
        for process, share in zip(self._processes, shares, strict=False):
            self._folders.append(Path(self._open.enter_context(tempfile.TemporaryDirectory(dir=scratch))))
            _send(process, Task(kafka=settings.access, folder=self._folders[-1], share=share))

    def steps(self) -> Iterator[Numbered]:
        """The steps of all shares as they arrive from their processes.

        Raises:
            MicroServoError: as a worker met it.
            Fatal: a worker ended before its share did.
        """
        left = set(range(len(self._folders)))
        while left:
            number, step = self._arrived.get()
            if number not in left:
                continue
            if step is None:
                raise Fatal(self._early_end(number))
            if isinstance(step, MicroServoError):
                raise step
            if isinstance(step, Outcome):
                left.discard(number)
            yield number, self._stored(number, step) if isinstance(step, Kept) else step

    def _stored(self, number: int, kept: Kept) -> Stored:
        return Stored(kept.number, lambda: load(self._folders[number], kept.number))

    def _early_end(self, number: int) -> str:
        process = self._processes[number]
        who = f"worker {number + 1} of {len(self._folders)} of the rebuild (process {process.pid})"
        status = process.wait(_END_S)
        if status == -signal.SIGKILL:
            how = "was killed (SIGKILL), by someone or because memory ran out"
        elif status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
        else:
            how = f"ended too early with status {status}; its standard error says why"
        return f"{who} {how}; no dataset was written, start it again"


def _in_memory(step: Sliced) -> Stored:
    return Stored(step.number, lambda: step.tables)


def _part(share: Share, numbers: list[int]) -> Share:
    ranges = {partition: each for partition, each in share.ranges.items() if partition.index in numbers}
    return replace(share, partition_numbers=numbers, ranges=ranges)


@contextmanager
def _process() -> Iterator[Process]:
    # A session of its own: Ctrl-C reaches this process alone, which then ends the workers.
    process = subprocess.Popen(
        python_argv("microservo.datasets.worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=child_environment(_MEMORY),
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait(_END_S)
        # What it never read is still to be written, to nobody.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _send(process: Process, task: Task) -> None:
    assert process.stdin is not None
    # One that is gone can't be written to; that it is gone is noticed when it is listened to. Secrets go this
    # way, for arguments are seen by others.
    with contextlib.suppress(BrokenPipeError):
        pickle.dump(task, process.stdin, pickle.HIGHEST_PROTOCOL)
        process.stdin.flush()


def _listen(number: int, process: Process, arrived: queue.SimpleQueue[Arrived]) -> None:
    assert process.stdout is not None
    try:
        # The last word of a process that is killed may be cut off in its middle.
        with process.stdout as steps, contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                arrived.put((number, pickle.load(steps)))  # noqa: S301  # from our own child
    finally:
        arrived.put((number, None))
