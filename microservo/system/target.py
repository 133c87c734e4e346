"""The target system on its own: its processes and their load, and the record of the run where one is named.

What embedded systems do in one process, containers do in many: this is the part of the one that holds the
target, and the run with it.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from microservo.adapters.clock import now_us
from microservo.adapters.files import check_writable, writable
from microservo.adapters.kafka import KafkaBroker
from microservo.application.connection import kafka_settings
from microservo.application.progress import Progress
from microservo.client import Client
from microservo.errors import MicroServoError
from microservo.platforms.target import kubernetes_target
from microservo.runtime.health import HealthServer
from microservo.supervision.supervisor import Supervisor
from microservo.system.launchers import launcher_of
from microservo.system.memory import check_memory
from microservo.system.options import ClusterOptions, SystemOptions
from microservo.system.run_record import RunRecord
from schemas.records import RunStatus

_BROKER_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """How a target on its own shall run.

    Attributes:
        otlp_url: where its telemetry goes.
        state_file: what others find it by; one log per process goes into `logs` beside it.
        run_id: the run to record on the broker that `system` names; None needs no broker.
        health_port: of /healthz and /metrics, 0 for any; None serves none.
        system: topology, seed, load, broker, prefix.
    """

    otlp_url: str
    state_file: Path
    run_id: str | None = None
    health_port: int | None = None
    system: SystemOptions


class TargetSystem:
    """A target with its load; use it as a context, which leaves no process behind however it ends.

    Args:
        options: how it shall run.
        progress: shows every stage.

    Raises:
        InvalidInput: there is no such topology.
    """

    def __init__(self, options: TargetOptions, progress: Progress) -> None:
        self.options = options
        self._progress = progress
        self._cluster = kubernetes_target(options.state_file)
        self._system = options.system
        if self._cluster is not None:
            cluster = ClusterOptions(
                namespaces=self._cluster.namespaces,
                fault_namespaces=self._cluster.fault_namespaces,
                context=self._cluster.context,
            )
            self._system = replace(options.system, cluster=cluster)
        self._launcher = launcher_of(
            self._system, options.state_file.absolute(), options.state_file.absolute().parent / "logs"
        )
        self._stack = contextlib.ExitStack()
        self._record: RunRecord | None = None
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        """Begins the run where one is named, and starts everything.

        Raises:
            InvalidInput: the run is over already.
            Unavailable: the machine has too little memory for it, no broker answers, the state can't be
                written, or a process did not get ready; then the message has the end of its log.
        """
        check_memory(self._launcher.name, target_bytes=self._launcher.memory_bytes, beside_bytes=0)
        with self._writable():
            if self._cluster is None:
                check_writable(self.options.state_file.parent)
            self._launcher.prepare()
        if self.options.run_id is not None:
            self._begin_run(self.options.run_id)
        self._supervisor = self._stack.enter_context(Supervisor(report=self._progress.note))
        with self._progress.stage("target") as stage, self._writable():
            stage.show(self._launcher.start(self._supervisor, self.options.otlp_url))
        if self._record is not None:
            self._record.declare_fault_free(now_us() + round(self.options.system.fault_free_s * 1e6))
        if self.options.health_port is not None:
            self._stack.enter_context(
                HealthServer(self.options.health_port, lambda: self._launcher.is_healthy)
            )

    def finish_run(self, status: RunStatus = "finished") -> None:
        """Ends the run where one was begun: what comes later is no part of it. A second call does nothing."""
        record, self._record = self._record, None
        if record is not None:
            record.end(status)

    def stop(self, status: RunStatus = "finished") -> None:
        """Ends the run and stops everything, the load first; may be repeated."""
        try:
            self.finish_run(status)
        except MicroServoError as error:
            # A broker that is gone can't take the end of the run; the processes still have to stop.
            _log.warning("the end of run %s could not be written: %s", self.options.run_id, error)
        finally:
            self._stack.close()
            # A state that stays says of every instance that it is down.
            self._launcher.close()

    def _writable(self) -> contextlib.AbstractContextManager[None]:
        return writable(self.options.state_file, "give another file with --state")

    def kill(self) -> None:
        """Kills everything at once and waits for nothing; end this process then."""
        if self._supervisor is not None:
            self._supervisor.kill()

    def _begin_run(self, run_id: str) -> None:
        options = self._system
        with self._progress.stage("run") as stage:
            broker = KafkaBroker(kafka_settings(options.bootstrap_servers))
            broker.admin().wait_ready(_BROKER_S)
            record = RunRecord(broker, options, target=self._launcher.name, run_id=run_id)
            resumed = record.resume(Client(broker=broker, topic_prefix=options.topic_prefix).runs.list())
            record.begin()
            self._record = record
            stage.show(f"{run_id} goes on" if resumed else f"{run_id} has begun")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop("finished" if exc_type is None else "aborted")
