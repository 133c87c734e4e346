"""The processes of evaluation tasks on this machine."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from microservo.adapters.processes import python_argv
from microservo.domain.evaluation_tasks import Work
from microservo.supervision.process import ProcessSpec
from schemas.records import EvaluationRequest
from services.evaluator.task_files import REQUEST, TaskFiles

_LOCK = "lock"
_MODULE = "services.evaluator.task_process"
_STOP_S = 0.5


def remove_leftovers(folder: Path) -> None:
    """Removes what attempts left whose evaluator is gone, and nothing else.

    What others in the folder are is the user's, or of an evaluator that works beside this one.
    """
    for request in folder.glob(f"*/*/{REQUEST}"):
        lock = _lock(request.parent)
        with suppress(Timeout, OSError), lock:
            shutil.rmtree(request.parent, ignore_errors=True)


def _lock(folder: Path) -> FileLock:
    """Held by the evaluator whose attempt has this folder; the kernel lets it go however that ends."""
    return FileLock(folder / _LOCK, blocking=False)


class Processes(Protocol):
    """What starts and stops processes by name; `microservo.supervision.supervisor.Supervisor` does."""

    def start(self, spec: ProcessSpec) -> None: ...

    def stop(self, name: str) -> None: ...

    def pids(self) -> dict[str, int | None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Started:
    """An attempt that has a process, or had one that ended."""

    attempt_id: str
    folder: Path
    lock: FileLock

    @property
    def files(self) -> TaskFiles:
        return TaskFiles(self.folder)


class TaskProcesses:
    """Starts, pauses and stops the process of each task.

    Args:
        folder: what processes write goes into folders in it, which other evaluators may use as well.
        holder: name of this evaluator, which no other one has, nor had before.
        processes: starts them, and ends them with this process.
        variables: environment variables that each gets besides those of this process.
    """

    def __init__(self, folder: Path, holder: str, processes: Processes, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._holder = holder
        self._processes = processes
        self._variables = variables
        self._numbers = itertools.count()
        self._started: dict[str, _Started] = {}

    def start(self, task_id: str, attempt_id: str, request: EvaluationRequest) -> None:
        """Starts the process of an attempt.

        Raises:
            OSError: its folder can't be written.
            Unavailable: the machine has no room for one more process.
        """
        # The folder of a task stays: shells complete its name by that.
        folder = self._folder / task_id / f"{self._holder}-{next(self._numbers)}"
        scratch = folder / "tmp"
        scratch.mkdir(parents=True)
        lock = _lock(folder)
        lock.acquire()
        # By this it is known as a task's, so it comes when nobody can take it for a leftover any more.
        TaskFiles(folder).ask(request)
        self._processes.start(
            ProcessSpec(
                name=attempt_id,
                argv=python_argv(_MODULE),
                env={**self._variables, "MICROSERVO_TASK_FOLDER": str(folder), "TMPDIR": str(scratch)},
                log=folder / "log",
                restart="never",
                stop_timeout_s=_STOP_S,
            )
        )
        self._started[task_id] = _Started(attempt_id=attempt_id, folder=folder, lock=lock)

    def work(self, task_id: str) -> Work | None:
        """How far the process of a task is; None where it has none."""
        started = self._started.get(task_id)
        if started is None:
            return None
        # Asked before its files are read: what it says at its end is there by then.
        has_ended = self._processes.pids().get(started.attempt_id) is None
        return started.files.work(started.attempt_id, has_ended=has_ended)

    def pause(self, task_id: str) -> None:
        """Has the process of a task do nothing as soon as it looks."""
        self._started[task_id].files.pause()

    def resume(self, task_id: str) -> None:
        """Has it go on."""
        self._started[task_id].files.resume()

    def stop(self, task_id: str) -> None:
        """Ends the process of a task, and all that it left."""
        started = self._started.pop(task_id)
        self._processes.stop(started.attempt_id)
        shutil.rmtree(started.folder, ignore_errors=True)
        started.lock.release()

    def stop_all(self) -> None:
        """Ends all."""
        for task_id in list(self._started):
            self.stop(task_id)

    def count(self, counts: Callable[[Work], bool]) -> int:
        """How many there are of a kind."""
        found = [self.work(task_id) for task_id in self._started]
        return sum(counts(each) for each in found if each is not None)
