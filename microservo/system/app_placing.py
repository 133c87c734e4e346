"""An app on hosts: the manager is told of them, has them join, and launches the app on the nearest."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from microservo.client import Client
from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.platforms.driver import Driver
from microservo.platforms.local.topology_files import read_topology
from microservo.system.hosts import HostOptions

T = TypeVar("T")

_ASK_S = 0.5


def _nobody(_: str) -> None:
    """Reports nothing."""


class AppPlacing:
    """Asks a manager for all of it, with one deadline; each step may be repeated.

    What the log has of an earlier time stays: hosts that are known, and rules, decide as before.

    Args:
        client: of the system.
        driver: that the manager has; it knows which hosts are really up.
        timeout_s: how many seconds all steps together may take.
        report: called with what it waits for.
    """

    def __init__(
        self, client: Client, driver: Driver, timeout_s: float, *, report: Callable[[str], None] = _nobody
    ) -> None:
        self._manager = client.manager
        self._driver = driver
        self._deadline_s = time.monotonic() + timeout_s
        self._report = report

    def join_hosts(self, hosts: Sequence[HostOptions]) -> None:
        """Waits until these hosts take containers.

        Raises:
            InvalidInput: the manager refuses one.
            Unavailable: no manager answers, or one has not joined in time.
        """
        self.ask(self._greet)
        for host in hosts:
            self.ask(partial(self._write, host))
            self.ask(partial(self._join, host.name))
        wanted = {host.name for host in hosts}
        while missing := wanted - self._read(self._ready):
            self._wait(f"hosts {', '.join(sorted(missing))} have not joined")

    def run_app(self, topology: str, *, near: Coordinates) -> None:
        """Waits until all services of a topology run; those that do already are not launched again.

        Args:
            topology: name of a shipped one, or path of a file.
            near: where those are launched that don't.

        Raises:
            InvalidInput: there is no such topology, or the manager refuses a part of it.
            Unavailable: no manager answers, or a service does not run in time.
        """
        self.ask(lambda: self._manager.seed(topology))
        app = read_topology(topology)
        while missing := app.services.keys() - self._read(partial(self._services, frozenset({"running"}))):
            # What is on its way, or brought back from an earlier time, is waited for.
            if missing - self._read(partial(self._services, None)):
                self.ask(lambda: self._launch(app.name, near))
            self._wait(f"services {', '.join(sorted(missing))} do not run")

    def ask(self, step: Callable[[], object]) -> None:
        """Asks the manager for something until it answers.

        One that was too busy to answer in time has often done it all the same, and refuses it the next time;
        then the step looks once more at what there is.

        Raises:
            InvalidInput: it refuses it.
            Unavailable: it does not answer in time.
        """
        is_again = False
        while True:
            try:
                step()
            except InvalidInput as error:
                if not is_again:
                    raise
                is_again = False
                self._wait(str(error))
            except (Retryable, Unavailable) as error:
                is_again = True
                self._wait(str(error))
            else:
                return

    def _read(self, step: Callable[[], T]) -> T:
        """Reads what the log has, once the broker gives it."""
        while True:
            try:
                return step()
            except (Retryable, Unavailable) as error:
                self._wait(str(error))

    def _greet(self) -> None:
        """Writes the settings as they are: who answers has seen what there is, and has said so on the log.

        Until then the log has hosts and containers of an earlier time.
        """
        is_known = any(each.name == "manager" for each in self._manager.list("settings"))
        write = self._manager.update if is_known else self._manager.create
        write("settings/manager")

    def _write(self, host: HostOptions) -> None:
        """Tells the manager of a host; one that it knows is the master's, and gets the values of now."""
        known = {each.name: each for each in self._manager.list("host")}
        if host.name in known and known[host.name].values["worker"]:
            # The worker has ended with the system that it was of.
            self._manager.assign(host.name, "")
        given = {name: value for name, value in host.model_dump().items() if name != "name"}
        values = {**given, "is_ours": True}
        if host.name not in known:
            self._manager.create(f"host/{host.name}", **values)
        elif any(known[host.name].values[name] != value for name, value in values.items()):
            self._manager.update(f"host/{host.name}", **values)

    def _join(self, host: str) -> None:
        """Has a host join, or start again if it was a node of an earlier time.

        Raises:
            Unavailable: the manager has still to notice that it is one no more.
        """
        is_known, is_up = host in self._ready(), host in self._up()
        if is_known and not is_up:
            msg = f"host {host} is recorded as running, and is not"
            raise Unavailable(msg)
        if not is_known:
            self._manager.join(host)

    def _launch(self, app: str, near: Coordinates) -> None:
        if not any(each.name == f"launch-app:{app}" for each in self._manager.list("pending-action")):
            self._manager.launch_app(app, near=(near.latitude, near.longitude))

    def _up(self) -> set[str]:
        return {each.name for each in self._driver.hosts() if each.up}

    def _ready(self) -> set[str]:
        return {each.name for each in self._manager.list("node") if each.values["is_ready"]}

    def _services(self, states: Collection[str] | None) -> set[str]:
        """Services with a container in one of these states, or in any."""
        return {
            str(each.values["service"])
            for each in self._manager.list("container")
            if states is None or each.values["state"] in states
        }

    def _wait(self, what: str) -> None:
        if time.monotonic() > self._deadline_s:
            msg = f"{what}; `microservo manage events` and the logs tell why"
            raise Unavailable(msg)
        self._report(what)
        time.sleep(_ASK_S)
