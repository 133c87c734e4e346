"""One share of a rebuild in a process of its own: a task on stdin, steps on stdout, both pickled.

It is a plain program and no `multiprocessing` child, so a script that rebuilds needs no `__main__` guard.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from typing import BinaryIO

from microservo.adapters.kafka.consumer import KafkaConsumer
from microservo.datasets.draft import writing
from microservo.datasets.garbage import seldom_collected
from microservo.datasets.share import Sliced, Step, Task, read_share
from microservo.datasets.slices import Kept, store
from microservo.errors import MicroServoError


def main() -> int:
    """Works one share off; slices go into files, and what else there is to say, to stdout."""
    with seldom_collected(), _own_stdout() as out:
        try:
            task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that started this one
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


def _own_stdout() -> BinaryIO:
    """What was stdout; what anybody prints goes to stderr from now on, and not between the steps."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


def _send(out: BinaryIO, what: object) -> None:
    pickle.dump(what, out, pickle.HIGHEST_PROTOCOL)
    out.flush()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # All is said and closed: taking down what is in memory piece by piece would only take time.
    os._exit(status)
