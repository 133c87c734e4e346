"""The workers of a rebuild: `worker.py IN:OUT...`, one for each pair of file descriptors.

Each reads a task from IN and writes its steps to OUT, both pickled. They are forks of one process, so that
what they need is loaded once; no thread runs in it. It writes a line to stdout for each that ended: its
number, its process and its exit status.

It is a plain program and no `multiprocessing` child, so a script that rebuilds needs no `__main__` guard.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NoReturn

from microservo.adapters.kafka.consumer import KafkaConsumer
from microservo.datasets.draft import writing
from microservo.datasets.garbage import seldom_collected
from microservo.datasets.share import Sliced, Step, Task, read_share
from microservo.datasets.slices import Kept, store
from microservo.errors import MicroServoError

Pipes = tuple[int, int]
"""File descriptors: where the task comes from, and where the steps go."""


def main(arguments: Sequence[str]) -> int:
    """Forks the workers, and says how each ended."""
    pipes: list[Pipes] = [
        (int(task), int(steps)) for task, _, steps in (each.partition(":") for each in arguments)
    ]
    # What is loaded by now is left alone by the workers' garbage collection, and so stays shared.
    gc.freeze()
    numbers = {_fork(number, pipes): number for number in range(len(pipes))}
    _close(pipes)
    while numbers:
        process, status = os.wait()
        sys.stdout.write(f"{numbers.pop(process)} {process} {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return 0


def _fork(number: int, pipes: Sequence[Pipes]) -> int:
    """The process of a new worker; the worker itself never returns from here."""
    process = os.fork()
    if process:
        return process
    try:
        _close([each for each in pipes if each != pipes[number]])
        # What anybody prints goes to stderr, and not between the lines about ended workers.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        _end(_work(*pipes[number]))
    except BaseException:
        traceback.print_exc()
        _end(1)


def _close(pipes: Sequence[Pipes]) -> None:
    for pair in pipes:
        for descriptor in pair:
            os.close(descriptor)


def _end(status: int) -> NoReturn:
    sys.stdout.flush()
    # All is said and closed: taking down what is in memory piece by piece would only take time.
    os._exit(status)


def _work(task_from: int, steps_to: int) -> int:
    """Works one share off; slices go into files, and what else there is to say, to a pipe."""
    with seldom_collected(), os.fdopen(task_from, "rb") as asked, os.fdopen(steps_to, "wb") as out:
        try:
            task: Task = pickle.load(asked)  # noqa: S301  # from the process that started this one
        except EOFError:
            return 0  # there was nothing to do for this one
        try:
            for step in _steps(task):
                _send(out, step)
        except MicroServoError as error:
            _send(out, error)
            return 1
        except BrokenPipeError:
            # The process that asked for it is gone.
            return 1
    return 0


def _steps(task: Task) -> Iterator[Step | Kept]:
    with KafkaConsumer(task.kafka, group_id=None, start="earliest") as consumer:
        for step in read_share(consumer, task.share):
            if not isinstance(step, Sliced):
                yield step
                continue
            with writing(task.folder):
                store(task.folder, step.number, step.tables)
            yield Kept(step.number)


def _send(out: BinaryIO, what: object) -> None:
    pickle.dump(what, out, pickle.HIGHEST_PROTOCOL)
    out.flush()


if __name__ == "__main__":
    _end(main(sys.argv[1:]))
