"""Serves drivers until SIGTERM or SIGINT, and ends then all that it has started."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import filelock

from microservo.client.registry import RegistryClient
from microservo.errors import InvalidInput
from microservo.platforms.driver import TaggedDriver
from microservo.platforms.local.commands import loopback_url
from microservo.platforms.local.containers import LocalContainers, LocalPlace
from microservo.platforms.local.driver_api import driver_application
from microservo.platforms.local.topology_files import read_topology, topology_file
from microservo.runtime.http import HttpServer
from microservo.runtime.shutdown import Shutdown
from microservo.supervision.supervisor import Supervisor, kill_leftovers
from services.launcher.registering import Registrations, TakingCalls
from services.launcher.settings import LauncherSettings

_LOOK_S = 3600.0
_log = logging.getLogger(__name__)


def run(settings: LauncherSettings) -> None:
    """Runs until SIGTERM or SIGINT.

    Raises:
        InvalidInput: there is no such topology, or another launcher has the folder.
        Unavailable: its port is taken, or the users can't be started.
    """
    shutdown = Shutdown()
    with _claimed(settings.folder.absolute()):
        _run(settings, shutdown)


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Holds the folder: who begins there ends what the one before has left, so that one must be gone."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        msg = f"another launcher runs with the folder {folder}; stop it, or give another folder"
        raise InvalidInput(msg) from error
    try:
        yield
    finally:
        lock.release()


def _run(settings: LauncherSettings, shutdown: Shutdown) -> None:
    record = settings.folder.absolute() / "launcher-processes.json"
    for name in kill_leftovers(record):
        _log.warning("%s was left by a launcher that was killed, and has been ended", name)
    place = LocalPlace(
        topology=read_topology(settings.topology),
        topology_path=topology_file(settings.topology).absolute(),
        folder=settings.folder.absolute(),
        otlp_url=settings.otlp,
        control_token=settings.control_token,
        start_s=settings.host_start_s,
        seed=settings.seed,
    )
    with Supervisor(record=record) as supervisor:
        containers = LocalContainers(supervisor, place)
        app = driver_application(
            lambda tag: TaggedDriver(containers, managed_by=tag), token=settings.control_token
        )
        try:
            with HttpServer(app, port=settings.port) as server, _registered(settings, containers):
                if settings.journeys_per_s > 0:
                    containers.start_users(settings.journeys_per_s)
                _log.info("drivers are answered on port %d", server.port)
                while not shutdown.wait(_LOOK_S):
                    pass
        finally:
            containers.close()


@contextlib.contextmanager
def _registered(settings: LauncherSettings, containers: LocalContainers) -> Iterator[None]:
    """Keeps containers registered, where a registry is named."""
    if not settings.registry:
        yield
        return
    with (
        RegistryClient(settings.registry, token=settings.control_token) as registry,
        Registrations(lambda: _taking_calls(containers), registry),
    ):
        yield


def _taking_calls(containers: LocalContainers) -> dict[str, TakingCalls]:
    return {
        name: TakingCalls(
            service=instance.service,
            endpoint=loopback_url(instance.sidecar_port),
            pid=instance.pid,
            place=host.coordinates,
            region=host.region,
        )
        for name, (instance, host) in containers.taking_calls().items()
    }
