"""Managers that really run, each in a thread, over infrastructure that is only written down."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from microservo import Client
from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.domain.manager.entities import Entity, entity_key
from microservo.errors import MicroServoError
from microservo.log.reader import read_topic
from microservo.platforms.driver import Driver, TaggedDriver
from microservo.retry import retry
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from microservo.testing import eventually
from microservo.testing.memory_driver import MemoryInfrastructure
from schemas.catalogue import MANAGER_INPUTS
from schemas.codec import decode_as
from schemas.records import ManagerInput
from services.manager.service import ManagerProcess
from services.manager.settings import ManagerSettings

GIB = 1 << 30
TAG = "system-1"
PLACES = {"berlin": (52.5, 13.4), "madrid": (40.4, -3.7), "tokyo": (35.7, 139.7), "osaka": (34.7, 135.5)}
EUROPE, ASIA = PLACES["berlin"], PLACES["tokyo"]


class Killed(BaseException):
    """Ends a thread at its next look at the clock, in the middle of whatever it does."""


class RunningManager:
    """A manager in a thread of its own.

    Args:
        broker: with the topics.
        driver: of its hosts and containers.
        prefix: of the topics' names.
        name: master, or that of a worker.
        policy: name of the one that it is started with.
        prometheus: that is asked for fields with a query; empty for none.
    """

    def __init__(
        self,
        broker: Broker,
        driver: Driver,
        *,
        prefix: str = "",
        name: str = "master",
        policy: str = "rules",
        prometheus: str = "",
    ) -> None:
        region = "" if name == "master" else "Asia"
        settings = ManagerSettings(
            topic_prefix=prefix,
            manager_name=name,
            manager_region=region,
            manager_policy=policy,
            manager_prometheus=prometheus,
        )
        self._shutdown = Shutdown(signals=())
        self._is_killed = threading.Event()
        self.errors: list[BaseException] = []
        self.process = ManagerProcess(
            settings, driver, reading=broker, writing=broker, clock=self._clock, pulse=Pulse()
        )
        self._thread = threading.Thread(target=self._body, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still manages."""
        return self._thread.is_alive()

    def kill(self) -> None:
        """Ends it as kill -9 does: nothing is stopped, nothing said."""
        self._is_killed.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        """Ends it in order."""
        self._shutdown.request()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _clock(self) -> int:
        # Its other threads end when it does, as those of a process.
        if self._is_killed.is_set() and threading.current_thread() is self._thread:
            raise Killed
        return now_us()

    def entities(self) -> dict[str, tuple[str, Entity]]:
        """All entities as it knows them, with their owners, by kind and id."""
        state = self.process.manager.state
        return {
            entity_key(entity): (state.owner_of(entity_key(entity)), entity)
            for of_kind in list(state.entities.values())
            for entity in list(of_kind.values())
        }

    def _body(self) -> None:
        try:
            with closing(self.process):
                self.process.run(self._shutdown)
        except Killed:
            pass
        except MicroServoError as error:
            self.errors.append(error)


class Fleet:
    """Hosts, services and managers over one broker.

    Args:
        broker: with the topics.
        prefix: of their names.
        driver: of their hosts and containers; by default, of ones in memory.
    """

    def __init__(self, broker: Broker, prefix: str = "", driver: Driver | None = None) -> None:
        self.broker = broker
        self.prefix = prefix
        self.client = Client(broker=broker, topic_prefix=prefix)
        retry(lambda: self.client.topics.ensure(partitions=2), timeout_s=60)
        self.infrastructure = MemoryInfrastructure(("front", "back"))
        self.driver: Driver = driver or TaggedDriver(self.infrastructure, managed_by=TAG)
        self._managers: list[RunningManager] = []

    def manager(
        self,
        name: str = "master",
        broker: Broker | None = None,
        *,
        policy: str = "rules",
        prometheus: str = "",
    ) -> RunningManager:
        """Starts one, maybe with a link of its own to the broker."""
        found = RunningManager(
            broker or self.broker,
            self.driver,
            prefix=self.prefix,
            name=name,
            policy=policy,
            prometheus=prometheus,
        )
        self._managers.append(found)
        return found

    def add_hosts(self, *names: str, worker: str = "") -> None:
        """Makes hosts and has them join."""
        for name in names:
            latitude, longitude = PLACES[name]
            self.client.manager.create(
                f"host/{name}",
                place="edge",
                latitude=latitude,
                longitude=longitude,
                cores=4.0,
                memory_bytes=float(8 * GIB),
                disk_bytes=float(100 * GIB),
                is_ours=True,
                worker=worker,
            )
            self.client.manager.join(name)
        eventually(lambda: set(names) <= self.ready(), timeout_s=30, what=f"{names} to be ready")
        eventually(lambda: set(names) <= self.measured(), timeout_s=30, what=f"{names} to be measured")

    def ready(self) -> set[str]:
        """Names of the hosts that take containers."""
        return {each.name for each in self.client.manager.list("node") if each.values["is_ready"]}

    def measured(self) -> set[str]:
        """Names of the hosts that the master knows the use of."""
        found: set[str] = set()
        for message in read_topic(self.broker, self.prefix + MANAGER_INPUTS):
            told = decode_as(ManagerInput, message.value or b"")
            if told.event == "HostsMeasured" and told.manager == "master":
                found.update(json.loads(told.document)["names"])
        return found

    def add_service(self, name: str = "front", **values: object) -> None:
        """Makes a service."""
        given = {"type": "frontend", "memory_bytes": float(GIB), "cores": 0.1, **values}
        self.client.manager.create(f"service/{name}", **given)

    def running(self) -> dict[str, str]:
        """Hosts of the containers that do run, by name."""
        return {each.id: each.host for each in self.driver.containers() if each.exit_code is None}

    def states(self) -> dict[str, str]:
        """States of all containers, as the entities say."""
        return {each.name: str(each.values["state"]) for each in self.client.manager.list("container")}

    def end(self) -> None:
        """Ends all managers that still run."""
        for manager in self._managers:
            if manager.is_alive:
                manager.kill()


@contextmanager
def fleet(broker: Broker, prefix: str = "", driver: Driver | None = None) -> Iterator[Fleet]:
    """A fleet whose managers end with the block."""
    found = Fleet(broker, prefix, driver)
    try:
        yield found
    finally:
        found.end()
