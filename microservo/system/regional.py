"""A system over regions of one machine: hosts at places, distance between them, and a manager that places.

::

    broker ─► topics ─► collector, registry ─► launcher with users ─► manager ─► (hosts, services: the caller)
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker
from microservo.adapters.files import writable
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.application.connection import kafka_settings
from microservo.application.progress import Progress
from microservo.client import Client
from microservo.domain.geography import Coordinates
from microservo.platforms.driver import Driver
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.token import new_token
from microservo.platforms.local.topology_files import read_topology
from microservo.supervision.supervisor import Supervisor, kill_leftovers
from microservo.system.broker import start_broker
from microservo.system.claim import claimed
from microservo.system.logs import fresh_logs
from microservo.system.managing import ManagingProcesses, managing_ports
from microservo.system.memory import BROKER_BYTES, REGIONAL_BYTES, check_memory, moved_topology_bytes
from microservo.system.options import SystemOptions
from microservo.system.processes import COLLECTOR, Pipeline
from microservo.system.run_record import RunRecord, ensure_topics

_START_S = 120.0


class RegionalSystem:
    """The processes; use it as a context, which leaves nothing behind however it ends.

    Args:
        options: name, topology, broker, seed, load.
        progress: shows every stage.
    """

    def __init__(self, options: SystemOptions, progress: Progress) -> None:
        self.options = options
        self.target = LocalPlatform(options.folders.target_state)
        """The containers and users, as faults and meter find them."""
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self._supervisor: Supervisor | None = None
        self._record: RunRecord | None = None
        self._broker: Broker | None = None
        self._driver: Driver | None = None

    @property
    def driver(self) -> Driver:
        """Of its hosts and containers, as the manager has it."""
        assert self._driver is not None
        return self._driver

    @property
    def client(self) -> Client:
        """A client of this system."""
        return Client(broker=self.broker, topic_prefix=self.options.topic_prefix)

    @property
    def broker(self) -> Broker:
        """The broker that it is on."""
        assert self._broker is not None
        return self._broker

    @property
    def run_id(self) -> str:
        """The run that was begun."""
        assert self._record is not None
        return self._record.run_id

    def start(self, users_at: Coordinates) -> None:
        """Starts everything; there are no hosts then, and users who meet nobody.

        Raises:
            InvalidInput: the name is taken, or a topic has other partitions than asked for.
            Unavailable: the machine has too little memory, the home can't be written, or a part did not
                get ready.
        """
        topology = read_topology(self.options.topology)
        check_memory(
            topology.name,
            target_bytes=moved_topology_bytes(topology),
            beside_bytes=REGIONAL_BYTES + (0 if self.options.bootstrap_servers else BROKER_BYTES),
        )
        folders = self.options.folders
        self._stack.enter_context(claimed(self.options.name))
        with writable(folders.root, "make room there, or set MICROSERVO_HOME to another folder"):
            kill_leftovers(folders.processes)
            self._stack.enter_context(fresh_logs(folders.logs))
        self._supervisor = self._stack.enter_context(
            Supervisor(record=folders.processes, report=self._progress.note)
        )
        servers = start_broker(self._supervisor, self.options, self._progress)
        self._broker = KafkaBroker(kafka_settings(servers))
        with self._progress.stage("topics") as stage:
            ensure_topics(self._broker, self.options)
            self._record = RunRecord(self._broker, self.options, target=self.options.topology)
            self._record.begin()
            stage.show(self.run_id)
        self._start_processes(self._supervisor, servers, users_at)

    def kill(self) -> None:
        """Kills everything at once and waits for nothing; end this process then."""
        if self._supervisor is not None:
            self._supervisor.kill()

    def _start_processes(self, supervisor: Supervisor, servers: str, users_at: Coordinates) -> None:
        otlp, grpc, control, health = free_ports(4)
        pipeline = Pipeline(
            options=self.options,
            bootstrap_servers=servers,
            run_id=self.run_id,
            otlp_port=otlp,
            otlp_grpc_port=grpc,
            control_port=control,
            health_ports={COLLECTOR: health},
        )
        managing = ManagingProcesses(
            options=self.options,
            state_file=pipeline.folders.target_state,
            logs=pipeline.folders.logs,
            environment=pipeline.environment,
            ports=managing_ports(),
            token=new_token(),
            tag=self.run_id,
            otlp_url=f"http://127.0.0.1:{otlp}",
            collector_url=f"http://127.0.0.1:{control}",
        )
        self._driver = managing.driver
        stages = (
            [pipeline.collector(managing.token), managing.registry()],
            [managing.launcher(users_at)],
            [managing.manager()],
        )
        for specs in stages:
            with self._progress.stage(", ".join(spec.name for spec in specs)):
                supervisor.start_all(specs)
                supervisor.wait_ready([spec.name for spec in specs], _START_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._record is not None:
                self._record.end("finished" if exc_type is None else "aborted")
        finally:
            self._stack.close()
