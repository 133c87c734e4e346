"""An algorithm that runs: its environment, its process behind the fence, and the session to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from microservo.algorithms.pipe import FilePipe
from microservo.algorithms.session import Session
from microservo.algorithms.spec import Plugin
from microservo.algorithms.unfenced import ENVIRONMENT, FENCED, command
from microservo.supervision.environments import Environment, EnvironmentCache
from microservo.supervision.fence import Fence
from microservo.supervision.fence_limits import Limits
from microservo.supervision.fence_process import FencedProcess
from microservo.supervision.fence_unfenced import Unfenced

BUILD_DEADLINE_S = 900.0
"""Of an environment: a large library over a slow line."""
_ENDING_S = 2.0
"""Until all processes of one that closed its output are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process that was started, and the session to it, which is not opened yet."""

    session: Session
    fenced: FencedProcess


class Workplace:
    """Where one algorithm runs, as often as it is started.

    Args:
        plugin: what runs.
        fence: what starts its process.
        environments: where environments are kept.
        folder: gets the logs of the build and of the process.
    """

    def __init__(
        self, plugin: Plugin, fence: Fence | Unfenced, environments: EnvironmentCache, folder: Path
    ) -> None:
        self.plugin = plugin
        self.build_log = folder / "build.log"
        self.log = folder / "algorithm.log"
        self._fence = fence
        self._environments = environments
        declaration = plugin.declaration
        self._limits = Limits(
            cpus=declaration.cpus,
            memory_bytes=declaration.memory_bytes,
            disk_bytes=declaration.disk_bytes,
        )

    @property
    def holds(self) -> tuple[str, ...]:
        """What the fence holds, in words."""
        return self._fence.holds(self._limits)

    def environment(self, deadline_s: float = BUILD_DEADLINE_S) -> Environment:
        """The environment that the algorithm requires; it stays until it is closed.

        Raises:
            InvalidInput, Unavailable: it can't be had; the build's log says more.
        """
        declaration = self.plugin.declaration
        return self._environments.prepare(
            declaration.requires,
            log=self.build_log,
            deadline_s=deadline_s,
            python=declaration.python or None,
        )

    @contextmanager
    def running(self, environment: Environment) -> Iterator[Running]:
        """A process of the algorithm, and all that it started, until the end of the block.

        Raises:
            InvalidInput: a folder of it can't be read by the user that it runs as.
            Unavailable: the machine refuses it.
        """
        with self._fence.start(
            command(environment.python),
            folders=(*environment.folders, FENCED, *self.plugin.code),
            log=self.log,
            environment=ENVIRONMENT,
            limits=self._limits,
        ) as process:
            pipe = FilePipe(process.stdin, process.stdout, partial(_why_ended, process))
            code = [str(path) for path in self.plugin.code]
            yield Running(session=Session(pipe, self.plugin.declaration, code), fenced=process)


def _why_ended(process: FencedProcess) -> str:
    """In words; empty where it runs on."""
    try:
        return process.wait(_ENDING_S).reason
    except TimeoutError:
        return ""
