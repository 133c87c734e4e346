"""The three everyday acts from Python: request a fault, subscribe to a topic, rebuild a dataset.

Example::

    from microservo import Client

    with Client() as client:                        # the system that `microservo up` runs here
        fault_id = client.faults.request(
            "network-delay", service="cartservice", duration="20s", latency="300ms"
        )
        client.faults.wait(fault_id, "active", timeout_s=30)
        for received in client.topics.subscribe("labelled-windows", start="latest"):
            print(received.record)
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from microservo.application.command import Context
from microservo.application.connection import Broker, Connection, SystemFile, connect
from microservo.client.algorithms import Algorithms
from microservo.client.board import Boards
from microservo.client.campaigns import Campaigns
from microservo.client.datasets import Datasets
from microservo.client.faults import Faults
from microservo.client.manager import Manager
from microservo.client.runs import Runs
from microservo.client.schedules import Schedules
from microservo.client.tasks import EvaluationTasks
from microservo.client.topics import Topics


class Client:
    """A user's view of a MicroServo system, on the broker that it runs on.

    Args:
        bootstrap_servers: the broker; `MICROSERVO_BOOTSTRAP_SERVERS`, then the running system's if not given.
        system: name of a system that runs on this machine.
        topic_prefix: put before every topic name.
        broker: used instead of all that, for tests.
        clock: epoch microseconds UTC, for tests.

    Attributes:
        faults: request, stop, list, follow them, wait for them.
        campaigns: plan them, run them, go on with one that was killed, see what came of them.
        schedules: have faults begin at a time, once or again and again.
        topics: list, create and subscribe to them.
        runs: list them and their writers, retire a writer.
        datasets: build, list, show, tag, pack, delete, rebuild, verify, hash and export them.
        algorithms: deploy them, wait for them, list, stop, start and remove them, read their logs.
        manager: what it knows, does and decided; launch, move and stop containers.
        board: show who is better than whom, compare, count medals, export.
        tasks: have algorithms evaluated on recorded runs, now or later; pause, resume, interrupt, rerun.

    Raises:
        Unavailable: no broker was named and no system runs here.
    """

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        *,
        system: str | None = None,
        topic_prefix: str | None = None,
        broker: Broker | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._connection = connection = (
            connect(bootstrap_servers, system=system, topic_prefix=topic_prefix)
            if broker is None
            else Connection(broker=broker, topic_prefix=topic_prefix or "")
        )
        context = Context(lambda: connection, clock=clock)
        self.faults = Faults(context)
        self.campaigns = Campaigns(context)
        self.schedules = Schedules(context)
        self.topics = Topics(context)
        self.runs = Runs(context)
        self.datasets = Datasets(context)
        self.algorithms = Algorithms(context)
        self.manager = Manager(context)
        self.board = Boards(context)
        self.tasks = EvaluationTasks(context)

    @property
    def system(self) -> SystemFile | None:
        """The system of this machine that the broker belongs to, where there is one."""
        return self._connection.system

    @property
    def broker(self) -> Broker:
        """The broker, for what this class does not offer."""
        return self._connection.broker

    @property
    def topic_prefix(self) -> str:
        """What stands before the names of topics."""
        return self._connection.topic_prefix

    def close(self) -> None:
        """Nothing stays open between calls; here for `with`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
