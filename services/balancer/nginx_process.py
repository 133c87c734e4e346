"""The nginx of a balancer: kept running in a folder of its own, given one configuration after the other."""

from __future__ import annotations

import grp
import http.client
import os
import pwd
import resource
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from microservo.adapters.files import write_whole
from microservo.adapters.nginx import NginxProgram
from microservo.domain.balancing.configuration import GENERATION_PATH, LOCATIONS_LOG
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.retry import retry
from microservo.runtime.http import listen
from microservo.supervision.process import ProcessSpec
from microservo.supervision.supervisor import Supervisor, kill_leftovers

_NAME = "nginx"
_CONFIGURATION = "nginx.conf"
_CANDIDATE = "nginx.conf.new"
_STARTED_WITHIN_S = 30.0
_PORT_FREE_WITHIN_S = 3.0
_LOADED_WITHIN_S = 10.0
_LOOK_S = 0.02
_ASK_S = 1.0
_STOPPED_WITHIN_S = 10.0
_MOST_CONNECTIONS = 8192
_WORKER_USER = "nobody"


def worker_user() -> str:
    """User and group that nginx' workers become; empty where nginx isn't started by root."""
    if os.geteuid() != 0:
        return ""
    user = pwd.getpwnam(_WORKER_USER)
    return f"{_WORKER_USER} {grp.getgrgid(user.pw_gid).gr_name}"


def most_connections() -> int:
    """How many connections a worker may have: each is an open file."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(soft, _MOST_CONNECTIONS)


def prepared_folder(folder: Path) -> Path:
    """Makes the folder in which nginx works, and what it does not make itself.

    Raises:
        Unavailable: it can't be written.
        InvalidInput: nginx' workers can't enter it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "temporary").mkdir(exist_ok=True)
        (folder / LOCATIONS_LOG).unlink(missing_ok=True)
    except OSError as error:
        msg = f"{folder} can't be written ({error.strerror}); set MICROSERVO_BALANCER_FOLDER to one that can"
        raise Unavailable(msg) from error
    if os.geteuid() == 0:
        for each in (folder, *folder.parents):
            if each.stat().st_mode & 0o001 == 0:
                msg = (
                    f"{each} can't be entered by {_WORKER_USER}, whom nginx' workers become; "
                    f"let others enter it (chmod o+x), or set MICROSERVO_BALANCER_FOLDER to another folder"
                )
                raise InvalidInput(msg)
    return folder


class NginxProcess:
    """Keeps an nginx running until it is closed; `load` belongs to one thread.

    Args:
        program: what is run.
        folder: its prefix, as of `prepared_folder`.
        address: where it listens.
        port: likewise.
    """

    def __init__(self, program: NginxProgram, folder: Path, *, address: str, port: int) -> None:
        self._program = program
        self._folder = folder
        self._address = address
        self._port = port
        record = folder / "processes.json"
        kill_leftovers(record)
        self._supervisor = Supervisor(record=record)

    def start(self, text: str, generation: int) -> None:
        """Starts it with a configuration, and waits until that is served.

        Raises:
            Unavailable: its port is taken, or nginx refuses it or does not come up.
        """
        # An nginx whose balancer was killed may still be ending.
        retry(self._check_port, timeout_s=_PORT_FREE_WITHIN_S, passing=Unavailable)
        self._write(text)
        self._supervisor.start(
            ProcessSpec(
                name=_NAME,
                argv=self._program.argv(self._folder, _CONFIGURATION),
                log=self._folder / "error.log",
                # Lets it answer what it has begun.
                stop_signal=signal.SIGQUIT,
                stop_timeout_s=_STOPPED_WITHIN_S,
                ready=lambda: self.generation() == generation,
            )
        )
        self._supervisor.wait_ready([_NAME], _STARTED_WITHIN_S)

    def load(self, text: str, generation: int) -> None:
        """Replaces the configuration; returns once new workers serve, and old ones take no more requests.

        Raises:
            Unavailable: nginx refuses it; it goes on with the one before.
            Retryable: it does not serve it in time.
        """
        self._write(text)
        former = self._workers()
        self._signal(signal.SIGHUP)

        def check_served() -> None:
            if self.generation() != generation or any(map(_is_taking_requests, former)):
                msg = f"nginx does not serve generation {generation} within {_LOADED_WITHIN_S:g} s"
                raise Retryable(msg)

        retry(check_served, timeout_s=_LOADED_WITHIN_S, first_pause_s=_LOOK_S, longest_pause_s=_LOOK_S)

    def reopen_log(self) -> None:
        """Lets it write on into a new file of the log of locations; nothing while it is down."""
        pid = self._supervisor.pids().get(_NAME)
        if pid is not None:
            _send(pid, signal.SIGUSR1)

    def generation(self) -> int | None:
        """Of the configuration by which a request is answered now; None where none is answered."""
        connection = http.client.HTTPConnection(self._address, self._port, timeout=_ASK_S)
        try:
            connection.request("GET", GENERATION_PATH)
            text = connection.getresponse().read()
            return int(text)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def close(self) -> None:
        """Ends it, with the requests that it has begun if they end within ten seconds."""
        self._supervisor.close()

    def _check_port(self) -> None:
        """Nginx itself would try for long, and say it in its log only."""
        for each in listen(self._port, (self._address,)):
            each.close()

    def _workers(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._supervisor.pids().get(_NAME) or 0).children()
        except psutil.NoSuchProcess:
            return []

    def _write(self, text: str) -> None:
        """What stands in the configuration's place has always been checked: a restart reads it too."""
        candidate = self._folder / _CANDIDATE
        try:
            write_whole(candidate, text.encode())
            self._program.check(self._folder, _CANDIDATE)
            candidate.replace(self._folder / _CONFIGURATION)
        except OSError as error:
            msg = f"{candidate} can't be written ({error.strerror}); make room there"
            raise Unavailable(msg) from error

    def _signal(self, number: signal.Signals) -> None:
        pid = self._supervisor.pids().get(_NAME)
        if pid is None or not _send(pid, number):
            msg = f"nginx is down; its log {self._folder / 'error.log'} says why, and it is started again"
            raise Retryable(msg)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _is_taking_requests(worker: psutil.Process) -> bool:
    """Whether it is one of nginx' workers that has not been told to end, which its title says."""
    try:
        title = " ".join(worker.cmdline())
    except psutil.Error:
        # It has ended, or is about to.
        return False
    return "worker process" in title and "shutting down" not in title


def _send(pid: int, number: signal.Signals) -> bool:
    """Whether the process was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
