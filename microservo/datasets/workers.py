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
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Self

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
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""Has glibc give back what messages took: a third less is held; and ask for large pages, where the kernel
has them to give: they are taken sooner. Others don't know these."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Has NumPy and Arrow start no thread as they are loaded: what forks must have no other."""

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
        self._tasks: list[BinaryIO] = []
        self._folders: list[Path] = []
        self._arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        if not self._count:
            return self
        tasks, steps = ([os.pipe() for _ in range(self._count)] for _ in range(2))
        theirs = [(task[0], step[1]) for task, step in zip(tasks, steps, strict=True)]
        self._process = _process(theirs)
        self._tasks = [os.fdopen(task[1], "wb") for task in tasks]
        for number, step in enumerate(steps):
            listening = (number, os.fdopen(step[0], "rb"), self._arrived)
            threading.Thread(target=_listen, args=listening, daemon=True).start()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *exc: object) -> None:
        if self._tasks:
            self._end(killed=exc_type is not None or not self._folders)
        self._open.close()

    def assign(self, settings: KafkaSettings, shares: Sequence[Share], scratch: Path) -> None:
        """Gives each share to a process; no more than there are. Rows go through files in `scratch`."""
        for task, share in zip(self._tasks, shares, strict=False):
            self._folders.append(Path(self._open.enter_context(tempfile.TemporaryDirectory(dir=scratch))))
            _send(task, Task(kafka=settings.access, folder=self._folders[-1], share=share))

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
        assert self._process.stdout is not None
        which = f"worker {number + 1} of {len(self._folders)} of the rebuild"
        for line in self._process.stdout:
            ended, process, status = map(int, line.split())
            if ended == number:
                return f"{which} (process {process}) {_how(status)}; no dataset was written, start it again"
        return f"{which} and the process that started it are gone; no dataset was written, start it again"

    def _end(self, *, killed: bool) -> None:
        # Those that were given nothing end by this. What was never read is still to be written, to nobody.
        for task in self._tasks:
            with contextlib.suppress(BrokenPipeError):
                task.close()
        if killed or not self._ended():
            # The group is there until its leader is waited for.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ended(self) -> bool:
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return False
        return True


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed (SIGKILL), by someone or because memory ran out"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended too early with status {status}; its standard error says why"


def _in_memory(step: Sliced) -> Stored:
    return Stored(step.number, lambda: step.tables)


def _part(share: Share, numbers: list[int]) -> Share:
    ranges = {partition: each for partition, each in share.ranges.items() if partition.index in numbers}
    return replace(share, partition_numbers=numbers, ranges=ranges)


def _process(pipes: Sequence[tuple[int, int]]) -> subprocess.Popen[bytes]:
    """The process that forks a worker for each pair of pipe ends, which are closed here."""
    ends = [end for pair in pipes for end in pair]
    try:
        # A session of its own: Ctrl-C reaches this process alone, which then ends the workers.
        return subprocess.Popen(
            python_argv("microservo.datasets.worker", *(f"{task}:{steps}" for task, steps in pipes)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=child_environment(_MEMORY | _ONE_THREAD),
            pass_fds=ends,
        )
    finally:
        for end in ends:
            os.close(end)


def _send(to: BinaryIO, task: Task) -> None:
    # One that is gone can't be written to; that it is gone is noticed when it is listened to. Secrets go this
    # way, for arguments are seen by others.
    with contextlib.suppress(BrokenPipeError):
        pickle.dump(task, to, pickle.HIGHEST_PROTOCOL)
        to.flush()


def _listen(number: int, steps: BinaryIO, arrived: queue.SimpleQueue[Arrived]) -> None:
    try:
        # The last word of a process that is killed may be cut off in its middle.
        with steps, contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                arrived.put((number, pickle.load(steps)))  # noqa: S301  # from our own child
    finally:
        arrived.put((number, None))
