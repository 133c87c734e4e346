"""The host processes of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from microservo.adapters.files import write_whole
from microservo.adapters.processes import python_argv
from microservo.domain.deployments import deployment_id, is_same_version
from microservo.supervision.process import ProcessSpec
from schemas.codec import SchemaError, decode_as, encode
from schemas.records import AlgorithmDeployment
from services.algorithm_runner.settings import AlgorithmRunnerSettings

STOP_S = 10.0
_MODULE = "services.algorithm_host"
_DEPLOYMENT = "deployment"
_CHECKS = "checks"


class Processes(Protocol):
    """What starts and stops processes by name; `microservo.supervision.supervisor.Supervisor` does."""

    def start(self, spec: ProcessSpec) -> None: ...

    def stop(self, name: str) -> None: ...

    def stop_all(self, names: Iterable[str]) -> None: ...


class Hosts:
    """Starts and stops hosts.

    Args:
        settings: of the runner.
        processes: keeps them running.
        variables: environment variables that every host gets besides those of the runner's own.
    """

    def __init__(
        self, settings: AlgorithmRunnerSettings, processes: Processes, variables: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._variables = variables

    def start(self, deployment: AlgorithmDeployment) -> None:
        """Starts the host of a version.

        Raises:
            OSError: its folder can't be written.
        """
        id_ = deployment_id(deployment)
        folder = self.folder(id_)
        known = _read(folder / _DEPLOYMENT)
        if known is None or not is_same_version(known, deployment):
            # Of one that was removed while nobody looked: what that had learned is not this one's.
            self.remove(id_)
        write_whole(folder / _DEPLOYMENT, encode(deployment))
        self._processes.start(
            ProcessSpec(
                name=id_,
                argv=python_argv(_MODULE),
                env={
                    **self._variables,
                    "MICROSERVO_HEALTH_PORT": "0",
                    "MICROSERVO_DEPLOYMENT": str(folder / _DEPLOYMENT),
                    "MICROSERVO_ALGORITHM_FOLDER": str(folder),
                    "MICROSERVO_CHECKS": str(self._settings.algorithms_folder / _CHECKS),
                    "MICROSERVO_ENVIRONMENTS": str(self._settings.environments),
                },
                log=folder / "host.log",
                stop_timeout_s=STOP_S,
            )
        )

    def stop(self, id_: str) -> None:
        """Stops the host of a version."""
        self._processes.stop(id_)

    def stop_all(self, ids: Iterable[str]) -> None:
        """Stops the hosts of all these versions together: each may take as long as its algorithm lets it."""
        self._processes.stop_all(ids)

    def remove(self, id_: str) -> None:
        """Removes all that a version left on this machine."""
        shutil.rmtree(self.folder(id_), ignore_errors=True)

    def kept(self) -> Iterator[AlgorithmDeployment]:
        """The versions that left something on this machine."""
        for path in sorted(self._settings.algorithms_folder.glob(f"*/{_DEPLOYMENT}")):
            if (deployment := _read(path)) is not None:
                yield deployment

    def folder(self, id_: str) -> Path:
        """Where the code, memory and logs of a version are."""
        return self._settings.algorithms_folder / id_


def _read(path: Path) -> AlgorithmDeployment | None:
    """The deployment in a file; None where it is missing or damaged."""
    try:
        return decode_as(AlgorithmDeployment, path.read_bytes())
    except (OSError, SchemaError):
        return None
