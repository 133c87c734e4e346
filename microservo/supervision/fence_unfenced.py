"""Runs a program without a fence, for those who have none or trust it: bounded, but with nothing hidden."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from microservo.adapters.processes import ISOLATED_PYTHON, Guard
from microservo.domain.deployments import NO_FENCE
from microservo.supervision.fence import STATE_VARIABLE, entry_argv, entry_settings, standard_variables
from microservo.supervision.fence_limits import Limits
from microservo.supervision.fence_meter import TreeMeter
from microservo.supervision.fence_process import FencedProcess, Launch

_CHILD = Path(__file__).with_name("child.py")


class Unfenced:
    """Starts programs as `Fence` does, with all rights of this user."""

    def start(
        self,
        argv: Sequence[str],
        *,
        folders: Sequence[Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        state: Path | None = None,
        limits: Limits | None = None,
    ) -> FencedProcess:
        """Starts a Python program; arguments and errors as those of `Fence.start`.

        Its state folder is a temporary one, removed when it is closed. `folders` are read where they are.
        """
        del folders
        limits = limits or Limits()
        temporary = Path(tempfile.mkdtemp(prefix="microservo-state-"))
        host, inner = socket.socketpair()
        descriptor = inner.detach()
        settings = entry_settings(
            descriptor,
            limits,
            folders=(str(temporary),),
            snapshot=str(state) if state else "",
            state=str(temporary),
        )
        variables = {**standard_variables(limits, str(temporary)), STATE_VARIABLE: str(temporary)}
        guard = Guard()

        def end() -> None:
            # It kills what has left the process' tree but not its group.
            guard.close()
            shutil.rmtree(temporary, ignore_errors=True)

        def meter(pid: int, _opened: Sequence[int]) -> TreeMeter:
            guard.watch(pid)
            return TreeMeter(pid)

        launch = Launch(
            argv=[*ISOLATED_PYTHON, str(_CHILD), str(os.getpid()), *entry_argv(argv[0], settings), *argv],
            environment={**variables, **(environment or {})},
            host=host,
            inherited=(descriptor,),
            meter=meter,
            state=lambda opened: opened[0],
            at_end=end,
        )
        return FencedProcess(launch, limits=limits, log=log, holds=self.holds(limits))

    def holds(self, limits: Limits) -> tuple[str, ...]:
        """What it holds nevertheless, in words, for people who judge a result by it."""
        return (
            NO_FENCE,
            *([f"memory: {limits.memory_bytes} bytes, watched"] if sys.platform == "linux" else []),
            f"CPU: {limits.cpus:g} processors, paused beyond",
            f"open files: {limits.open_files}",
            f"stderr: {limits.output_bytes_per_s} bytes/s",
            *([f"CPU in all: {limits.cpu_seconds} s"] if limits.cpu_seconds else []),
        )
