"""Serves drivers until SIGTERM or SIGINT, and ends then all that it has started."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import filelock

from microservo.adapters.clock import now_us
from microservo.client.registry import RegistryClient
from microservo.errors import InvalidInput
from microservo.platforms.driver import TaggedDriver
from microservo.platforms.local.containers import LocalContainers
from microservo.platforms.local.driver_api import driver_application
from microservo.platforms.local.host_faults import HostFaults
from microservo.platforms.local.host_groups import host_groups
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.places import place_in
from microservo.platforms.local.topology_files import read_topology, topology_file
from microservo.runtime.http import HttpServer
from microservo.runtime.looking import Looking
from microservo.runtime.shutdown import Shutdown
from microservo.supervision.supervisor import Supervisor, kill_leftovers
from services.launcher.balanced_servers import BalancedServers
from services.launcher.demand import LOOK_S, Demand
from services.launcher.registrations import Registrations
from services.launcher.settings import LauncherSettings

_WAIT_S = 3600.0
_log = logging.getLogger(__name__)


def run(settings: LauncherSettings) -> None:
    """Runs until SIGTERM or SIGINT.

    Raises:
        InvalidInput: there is no such topology, the users' place is none, or another launcher has the folder.
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
        collector_url=settings.collector,
        launcher_url=f"http://127.0.0.1:{settings.port}",
        has_broker=settings.has_broker,
    )
    users_at = place_in(settings.users_at) if settings.users_at else None
    # Outside of the supervisor: groups and folders can be removed once their processes have ended.
    with (
        host_groups(settings.folder.absolute()) as groups,
        contextlib.ExitStack() as cleared,
        Supervisor(record=record) as supervisor,
    ):
        _log.info("processors and memory of hosts: %s", groups.enforced + _because(groups.why_not))
        containers = LocalContainers(supervisor, place, groups=groups)
        cleared.callback(containers.clear)
        app = driver_application(
            lambda tag: TaggedDriver(containers, managed_by=tag),
            HostFaults(containers, now_us),
            token=settings.control_token,
            clock=now_us,
        )
        try:
            with HttpServer(app, port=settings.port) as server, contextlib.ExitStack() as stack:
                if settings.journeys_per_s > 0:
                    containers.start_users(settings.journeys_per_s, users_at)
                stack.enter_context(_demand(settings, place.state_file))
                stack.enter_context(_given_out(settings, containers))
                _log.info("drivers are answered on port %d", server.port)
                while not shutdown.wait(_WAIT_S):
                    pass
        finally:
            containers.close()


def _because(why_not: str) -> str:
    return f", since {why_not}" if why_not else ""


@contextlib.contextmanager
def _given_out(settings: LauncherSettings, containers: LocalContainers) -> Iterator[None]:
    """Has registries and balancers give out the containers that take calls."""
    registrations = Registrations(
        containers.taking_calls, containers.serving, elsewhere=settings.registry, token=settings.control_token
    )
    servers = BalancedServers(containers.taking_calls, containers.serving, token=settings.control_token)
    containers.consult(lambda name: registrations.has(name) or servers.has(name))
    with registrations, servers:
        yield


@contextlib.contextmanager
def _demand(settings: LauncherSettings, state_file: Path) -> Iterator[None]:
    """Tells a registry of demand, where one is named."""
    if not settings.registry:
        yield
        return
    with (
        RegistryClient(settings.registry, token=settings.control_token) as registry,
        Looking(Demand(state_file, registry).look, LOOK_S, name="demand"),
    ):
        yield
