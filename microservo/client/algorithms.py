"""`client.algorithms`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from microservo.application.algorithm_logs import LogLine, ReadAlgorithmLogs
from microservo.application.algorithm_progress import WaitForAlgorithm
from microservo.application.algorithms import (
    DeployAlgorithm,
    ListAlgorithms,
    ListedAlgorithm,
    RemoveAlgorithm,
    StartAlgorithm,
    StopAlgorithm,
)
from microservo.application.command import Context
from microservo.application.table import execute
from schemas.records import AlgorithmDeployment, AlgorithmState


class Algorithms:
    """Deploy algorithms at run time, wait for them, list, stop, start and remove them, read their logs."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def deploy(
        self,
        spec: str,
        *,
        name: str | None = None,
        threshold: float | None = None,
        alarms_per_hour: float = 1.0,
        is_fenced: bool = True,
        if_missing: bool = False,
        train_on: Path | str | None = None,
        **declared: Any,
    ) -> AlgorithmDeployment:
        """Has an algorithm run beside others, from now on.

        Args:
            spec: a shipped kind, module:object, a .py file, a folder, a wheel or zip, or a TOML declaration.
            name: under which it is listed; made of the spec if not given. What is deployed under it is
                replaced by a new version once that has caught up.
            threshold: scores above it are alarms; found in the run's fault-free time if not given.
            alarms_per_hour: false alarms that such a threshold aims at, of all services together.
            is_fenced: whether it runs where it can reach nothing.
            if_missing: leave what is deployed under the name as it is.
            train_on: folder of a dataset of another run, or that run, for a classifier to be trained on.
            **declared: keys of a declaration that count more than what the spec says, for example
                `params={"top_k": 5}` or `signals=["metrics"]`.

        Raises:
            InvalidInput: it can't be deployed; nothing was sent.
        """
        command = DeployAlgorithm(
            spec=spec,
            name=name,
            declared=declared,
            threshold=threshold,
            alarms_per_hour=alarms_per_hour,
            is_fenced=is_fenced,
            if_missing=if_missing,
            train_on=None if train_on is None else str(train_on),
        )
        return execute(command, self._context)

    def list(self) -> tuple[ListedAlgorithm, ...]:
        """All that is deployed, by name, and how far each version has come."""
        return execute(ListAlgorithms(), self._context)

    def wait(self, name: str) -> AlgorithmState:
        """Waits until the newest version runs, and a detector has scored a window as it came; how it is then.

        Raises:
            InvalidInput: none of this name is deployed, or it is stopped.
            MicroServoError: it has failed; with the reason.
            Unavailable: nothing is heard of it.
        """
        return execute(WaitForAlgorithm(name=name), self._context)

    def logs(self, name: str, *, version: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """What pip, the host and the algorithm itself wrote, where that is this machine.

        Args:
            name: of the algorithm.
            version: the newest that has run here if not given.
            follow: also what is written from now on, without an end.

        Raises:
            InvalidInput: no algorithm of this name and version has run here.
            Unavailable: no system runs here.
        """
        return execute(ReadAlgorithmLogs(name=name, version=version, follow=follow), self._context)

    def stop(self, name: str) -> AlgorithmDeployment:
        """Has an algorithm run no longer; what it has learned stays.

        Raises:
            InvalidInput: none of this name is deployed.
        """
        return execute(StopAlgorithm(name=name), self._context)

    def start(self, name: str) -> AlgorithmDeployment:
        """Has an algorithm that was stopped run again; it goes on from what it had learned.

        Raises:
            InvalidInput: none of this name is deployed.
        """
        return execute(StartAlgorithm(name=name), self._context)

    def remove(self, name: str) -> None:
        """Forgets an algorithm with all that it has learned; its scores stay on the log.

        Raises:
            InvalidInput: none of this name is deployed.
        """
        execute(RemoveAlgorithm(name=name), self._context)
