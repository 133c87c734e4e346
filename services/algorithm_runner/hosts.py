"""The host processes of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from microservo.adapters.processes import python_argv
from microservo.domain.deployments import deployment_id
from microservo.supervision.process import ProcessSpec
from schemas.records import AlgorithmDeployment
from services.algorithm_runner.settings import AlgorithmRunnerSettings

STOP_S = 10.0
_MODULE = "services.algorithm_host"


class Processes(Protocol):
    """What starts and stops processes by name; `microservo.supervision.supervisor.Supervisor` does."""

    def start(self, spec: ProcessSpec) -> None: ...

    def stop(self, name: str) -> None: ...


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
        """Starts the host of a version."""
        id_ = deployment_id(deployment)
        folder = self.folder(id_)
        folder.mkdir(parents=True, exist_ok=True)
        self._processes.start(
            ProcessSpec(
                name=id_,
                argv=python_argv(_MODULE),
                env={
                    **self._variables,
                    "MICROSERVO_HEALTH_PORT": "0",
                    "MICROSERVO_ALGORITHM": deployment.algorithm,
                    "MICROSERVO_ALGORITHM_VERSION": str(deployment.version),
                    "MICROSERVO_ALGORITHM_FOLDER": str(folder),
                    "MICROSERVO_ENVIRONMENTS": str(self._settings.environments),
                },
                log=folder / "host.log",
                stop_timeout_s=STOP_S,
            )
        )

    def stop(self, id_: str) -> None:
        """Stops the host of a version."""
        self._processes.stop(id_)

    def remove(self, id_: str) -> None:
        """Removes all that a version left on this machine."""
        shutil.rmtree(self.folder(id_), ignore_errors=True)

    def folder(self, id_: str) -> Path:
        """Where the code, memory and logs of a version are."""
        return self._settings.algorithms_folder / id_
