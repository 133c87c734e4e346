"""The embedded system as one thing that starts and stops."""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType
from typing import Self

import psutil

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.files import writable
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_port_at_best, free_ports
from microservo.application.catalogue_database import check_installed
from microservo.application.connection import kafka_settings
from microservo.application.progress import Progress
from microservo.client import Client
from microservo.errors import MicroServoError, Unavailable
from microservo.log.subscription import Subscription
from microservo.sources.declared import write_source
from microservo.supervision.supervisor import Supervisor, kill_leftovers
from microservo.supervision.system_file import SystemFile, remove_system, write_system
from microservo.system.algorithm_start import wait_for_algorithms
from microservo.system.broker import start_broker
from microservo.system.claim import claimed
from microservo.system.first_telemetry import FirstTelemetry
from microservo.system.launchers import launcher_of
from microservo.system.logs import fresh_logs
from microservo.system.memory import beside_bytes, check_memory
from microservo.system.options import SystemOptions
from microservo.system.processes import (
    COLLECTOR,
    HEALTH_NAMES,
    INJECTOR,
    KAFKA,
    PROJECTOR,
    Pipeline,
    process_of,
)
from microservo.system.run_record import RunRecord, ensure_topics
from schemas.catalogue import LABELLED_WINDOWS
from schemas.records import LabelledWindow, RunStatus

_PROCESSES_START_S = 120.0
_FIRST_TELEMETRY_S = 60.0
_FIRST_WINDOW_S = 120.0


class EmbeddedSystem:
    """Broker, pipeline, target and load; use it as a context, which leaves nothing behind however it ends.

    ::

        claim the name ─► broker ─► topics, run begins ─► evaluator, collector, streams, observer, runner
                       ─► (algorithms)
                       ─► target, load ─► injector ─► (projector)
                       ─► every service has sent ─► first labelled window ─► ...
                       ─► run ends ─► all stop, last first

    Args:
        options: how it shall run.
        progress: shows every stage.
    """

    def __init__(self, options: SystemOptions, progress: Progress) -> None:
        self.options = options
        self.fault_free_until_us = 0
        """Nothing is to be injected until then; microseconds UTC, once it was started."""
        self._progress = progress
        self._folders = options.folders
        self._launcher = launcher_of(options, self._folders.target_state, self._folders.logs)
        self._stack = contextlib.ExitStack()
        self._supervisor: Supervisor | None = None
        self._record: RunRecord | None = None
        self._unfinished: RunRecord | None = None
        self._broker: Broker | None = None
        self._file: SystemFile | None = None

    @property
    def client(self) -> Client:
        """A client of this system."""
        return Client(broker=self.broker, topic_prefix=self.options.topic_prefix)

    @property
    def broker(self) -> Broker:
        """The broker that the system is on."""
        assert self._broker is not None
        return self._broker

    @property
    def run_id(self) -> str:
        """The run that was begun."""
        assert self._record is not None
        return self._record.run_id

    @property
    def file(self) -> SystemFile:
        """The record of the system."""
        assert self._file is not None
        return self._file

    def start(self) -> None:
        """Starts everything, stage by stage, up to the first labelled window.

        Raises:
            InvalidInput: the name is taken, or a topic has other partitions than asked for.
            Unavailable: the machine has too little memory for it, the home can't be written, a part did not
                get ready (the message has the end of its log), or a service of the target sends nothing.
        """
        check_memory(
            self._launcher.name,
            target_bytes=self._launcher.memory_bytes,
            beside_bytes=beside_bytes(self.options),
        )
        self._stack.enter_context(claimed(self.options.name))
        with self._writable():
            kill_leftovers(self._folders.processes)
            remove_system(self.options.name)
            self._stack.enter_context(fresh_logs(self._folders.logs))
        self._supervisor = self._stack.enter_context(
            Supervisor(record=self._folders.processes, report=self._progress.note)
        )
        servers = start_broker(self._supervisor, self.options, self._progress)
        self._begin_run(servers)
        with FirstTelemetry(self.broker, self.options.topic_prefix, self._launcher.services) as telemetry:
            self._start_processes(self._supervisor, servers)
            with self._progress.stage("telemetry of every service") as stage:
                telemetry.wait(_FIRST_TELEMETRY_S, self._folders.logs, stage.advance)
        self.wait_for_windows(1)
        self._note_catalogue(self._supervisor)
        assert self._record is not None
        self.fault_free_until_us = now_us() + round(self.options.fault_free_s * 1e6)
        self._record.declare_fault_free(self.fault_free_until_us)

    def wait_for_windows(self, count: int) -> None:
        """Waits until the entry service has `count` labelled windows of this run more; any, if none is known.

        Raises:
            Unavailable: they did not come.
        """
        topic = self.options.topic_prefix + LABELLED_WINDOWS
        with (
            self._progress.stage("first labelled windows" if count > 1 else "first labelled window") as stage,
            Subscription(self.broker, topic) as windows,
        ):
            seen: set[int] = set()
            deadline_s = time.monotonic() + _FIRST_WINDOW_S + count * self.options.policy.size_us / 1e6
            while len(seen) < count:
                if time.monotonic() > deadline_s:
                    came = f"only {len(seen)} of {count} labelled windows came in time"
                    msg = f"{came}; {self._problems()}the logs in {self._folders.logs} may tell why"
                    raise Unavailable(msg)
                received = windows.poll(0.2)
                window = received.record if received else None
                # Later revisions are of windows that came before.
                if isinstance(window, LabelledWindow) and window.revision == 0 and self._is_entry(window):
                    seen.add(window.start_us)
                    stage.advance(len(seen), count)

    def finish_run(self, status: RunStatus = "finished") -> None:
        """Ends the run: what comes later is no part of it. A second call does nothing.

        Raises:
            MicroServoError: that can't be written; the next start will end the run as aborted.
        """
        record, self._unfinished = self._unfinished, None
        if record is None:
            return
        if self._is_broker_down():
            msg = f"the broker is down, so the next start will end run {record.run_id}, as aborted"
            raise Unavailable(msg)
        record.end(status)

    def stop_processes(self) -> None:
        """Stops everything but the broker, so that the rest of the machine's power is free."""
        assert self._supervisor is not None
        for name in reversed(list(self._supervisor.pids())):
            if name != KAFKA:
                self._supervisor.stop(name)

    def stop(self, status: RunStatus = "finished") -> None:
        """Ends the run and stops everything, what was started last first; may be repeated."""
        try:
            # A broker that is gone can't take the end of the run; everything else still has to stop.
            with contextlib.suppress(MicroServoError):
                self.finish_run(status)
        finally:
            # A file that stays names a process that is gone, and so no running system and no target.
            with contextlib.suppress(OSError):
                remove_system(self.options.name)
            self._stack.close()
            self._launcher.close()

    def kill(self) -> None:
        """Kills everything at once and waits for nothing; end this process then."""
        if self._supervisor is not None:
            self._supervisor.kill()

    def _is_broker_down(self) -> bool:
        """Whether it is our own, and has no process."""
        return self._supervisor is not None and self._supervisor.pids().get(KAFKA, -1) is None

    def _writable(self) -> contextlib.AbstractContextManager[None]:
        return writable(self._folders.root, "make room there, or set MICROSERVO_HOME to another folder")

    def _problems(self) -> str:
        """The processes that did not stay up, for an error's message."""
        assert self._supervisor is not None
        restarts = {name: self._supervisor.restarts(name) for name in self._supervisor.pids()}
        return "".join(
            f"{name} was started again {times} times; " for name, times in restarts.items() if times
        )

    def _begin_run(self, servers: str) -> None:
        self._broker = KafkaBroker(kafka_settings(servers))
        with self._progress.stage("topics") as stage:
            ensure_topics(self._broker, self.options)
            self._record = RunRecord(self._broker, self.options, target=self._launcher.name)
            if not self.options.bootstrap_servers:
                self._record.close_others(self.client.runs.list())
            self._record.begin()
            self._unfinished = self._record
            for kind in self.options.algorithms:
                self.client.algorithms.deploy(
                    kind,
                    if_missing=True,
                    seed=self.options.seed,
                    alarms_per_hour=self.options.alarms_per_hour,
                )
            stage.show(f"{self.run_id}, {self.options.partitions} partitions")

    def _start_processes(self, supervisor: Supervisor, servers: str) -> None:
        otlp_port = free_port_at_best(self.options.otlp_port)
        has_catalogue = self.options.catalogue and self._can_keep_catalogue()
        names = (
            *(*HEALTH_NAMES, *map(process_of, self.options.sources)),
            *([PROJECTOR] if has_catalogue else []),
        )
        control_port, *health_ports = free_ports(1 + len(names))
        pipeline = Pipeline(
            options=self.options,
            bootstrap_servers=servers,
            run_id=self.run_id,
            otlp_port=otlp_port,
            otlp_grpc_port=free_port_at_best(self.options.otlp_grpc_port),
            control_port=control_port,
            health_ports=dict(zip(names, health_ports, strict=True)),
        )
        with self._writable():
            self._launcher.prepare()
        collector = pipeline.collector(self._launcher.control_token)
        self._write_file(pipeline)
        # The evaluator is stopped last, when all that the others wrote is there to be judged.
        specs = [
            pipeline.evaluator(),
            *(collector, pipeline.streams(), pipeline.observer(), pipeline.runner()),
            *pipeline.sources(),
        ]
        with self._writable():
            for source in self.options.sources:
                write_source(source, self._folders.source(source.name))
        with self._progress.stage("pipeline") as stage:
            supervisor.start_all(specs)
            supervisor.wait_ready([COLLECTOR], _PROCESSES_START_S)
            supervisor.wait_ready([spec.name for spec in specs], _PROCESSES_START_S)
            stage.show(", ".join(spec.name for spec in specs))
        if self.options.algorithms_timeout_s > 0:
            wait_for_algorithms(
                self.client,
                self.run_id,
                self.options.algorithms,
                self.options.algorithms_timeout_s,
                self._progress,
            )
        with self._progress.stage("target") as stage, self._writable():
            control_url = f"http://127.0.0.1:{control_port}"
            made = self._launcher.start(
                supervisor,
                f"http://127.0.0.1:{otlp_port}",
                collector=(COLLECTOR, control_url),
                environment=pipeline.environment,
            )
            stage.show(made)
        with self._progress.stage("fault injector"):
            supervisor.start(pipeline.injector())
            supervisor.wait_ready([INJECTOR], _PROCESSES_START_S)
        if has_catalogue:
            # Last, and not waited for: without it lists read the topics.
            supervisor.start(pipeline.projector())

    def _can_keep_catalogue(self) -> bool:
        try:
            check_installed()
        except Unavailable as error:
            self._progress.note(f"{error}; lists read the topics")
            return False
        return True

    def _note_catalogue(self, supervisor: Supervisor) -> None:
        if PROJECTOR in supervisor.pids() and supervisor.restarts(PROJECTOR):
            log = self._folders.logs / f"{PROJECTOR}.log"
            self._progress.note(f"the catalogue is not kept, lists read the topics; {log} says why")

    def _write_file(self, pipeline: Pipeline) -> None:
        self._file = SystemFile(
            name=self.options.name,
            bootstrap_servers=pipeline.bootstrap_servers,
            topic_prefix=self.options.topic_prefix,
            run_id=self.run_id,
            pid=os.getpid(),
            created_at_s=psutil.Process().create_time(),
            target_state=str(self._folders.target_state),
            otlp_url=f"http://127.0.0.1:{pipeline.otlp_port}",
            log_dir=str(self._folders.logs),
            algorithms_dir=str(self._folders.algorithms),
            catalogue_url=pipeline.own_catalogue_url(),
            ports={
                "otlp": pipeline.otlp_port,
                "otlp-grpc": pipeline.otlp_grpc_port,
                **pipeline.health_ports,
                **self._launcher.ports,
            },
        )
        with self._writable():
            write_system(self._file)

    def _is_entry(self, window: LabelledWindow) -> bool:
        return window.run_id == self.run_id and self._launcher.entry in (None, window.service)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop("finished" if exc_type is None else "aborted")
