"""A run on a real broker with its labeller and collectors, for tests of what comes out at the end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from recorded_run import end_offsets
from stream_processor import Pipeline

from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.domain.window_policy import WindowPolicy
from microservo.log.run_records import update_run, write_run
from microservo.log.stamped import StampedWriter
from microservo.log.writers import COLLECTOR_WRITER, INJECTOR_WRITER, writers_from
from microservo.testing import eventually
from schemas.catalogue import LABELLED_WINDOWS, SERVICE_FAULTS
from schemas.codec import decode_as
from schemas.records import Experiment, LabelledWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCollector:
    """The process of a collector, and where it listens."""

    name: str
    port: int
    grpc_port: int
    health_port: int
    process: subprocess.Popen[bytes]


class LiveRun:
    """A run on a broker, with a labeller, collectors, and an injector that has nothing to do."""

    def __init__(
        self, broker: KafkaBroker, prefix: str, folder: Path, *, partitions: int, policy: WindowPolicy
    ) -> None:
        self.broker, self.prefix, self.folder = broker, prefix, folder
        self._policy = policy
        self.pipeline = Pipeline(
            broker,
            prefix,
            folder,
            partitions=partitions,
            environment={
                "MICROSERVO_WINDOW_S": f"{policy.size_us / 1e6:g}",
                "MICROSERVO_FIRST_CUT_S": f"{policy.first_cut_us / 1e6:g}",
                "MICROSERVO_FINAL_CUT_S": f"{policy.final_cut_us / 1e6:g}",
            },
        )
        eventually(self._begin, timeout_s=60, what="leaders of all partitions")

    def _begin(self) -> bool:
        policy = self._policy
        cuts_us = {"first_cut_us": policy.first_cut_us, "final_cut_us": policy.final_cut_us}
        run = Experiment(
            run_id="run-1",
            status="running",
            seed=0,
            target="test",
            started_at_us=now_us(),
            window_us=policy.size_us,
            start_offsets=end_offsets(self.broker, self.prefix),
            end_offsets={},
            versions={},
            writers=writers_from(now_us(), **cuts_us),
            gone=(),
            **cuts_us,
        )
        write_run(self.broker, run, process="system", clock=now_us, topic_prefix=self.prefix)
        return True

    def end(self) -> None:
        ends = end_offsets(self.broker, self.prefix)
        self.update(lambda run: replace(run, status="finished", end_offsets=ends))

    def update(self, change: Callable[[Experiment], Experiment]) -> None:
        update_run(
            self.broker,
            "run-1",
            change,
            process="system",
            clock=now_us,
            topic_prefix=self.prefix,
        )

    @contextmanager
    def injector(self) -> Iterator[None]:
        """Heartbeats on the topic of faults."""
        over = threading.Event()
        writer = StampedWriter(
            self.broker,
            self.prefix + SERVICE_FAULTS,
            writer=INJECTOR_WRITER,
            run_id=lambda: "run-1",
            clock=now_us,
            source="/test",
        )

        def beat() -> None:
            while not over.wait(0.1):
                writer.tick()

        with writer:
            beating = threading.Thread(target=beat)
            beating.start()
            try:
                yield
            finally:
                over.set()
                beating.join()

    @contextmanager
    def collector(self, name: str = COLLECTOR_WRITER, **environment: str) -> Iterator[RunningCollector]:
        port, grpc_port, health_port = free_ports(3)
        environment |= {
            "MICROSERVO_BOOTSTRAP_SERVERS": self.broker.settings.bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": self.prefix,
            "MICROSERVO_RUN_ID": "run-1",
            "MICROSERVO_WRITER": name,
            "MICROSERVO_OTLP_PORT": str(port),
            "MICROSERVO_OTLP_GRPC_PORT": str(grpc_port),
            "MICROSERVO_HEALTH_PORT": str(health_port),
            "MICROSERVO_WINDOW_S": f"{self._policy.size_us / 1e6:g}",
            "MICROSERVO_FIRST_CUT_S": f"{self._policy.first_cut_us / 1e6:g}",
            "MICROSERVO_FINAL_CUT_S": f"{self._policy.final_cut_us / 1e6:g}",
        }
        with (
            (self.folder / f"{name}.log").open("wb") as out,
            subprocess.Popen(
                [sys.executable, "-m", "services.telemetry_collector"],
                env=environment,
                stdout=out,
                stderr=out,
            ) as process,
        ):
            try:
                yield RunningCollector(
                    name=name, port=port, grpc_port=grpc_port, health_port=health_port, process=process
                )
            finally:
                process.kill()

    def windows(self) -> list[LabelledWindow]:
        messages = self.pipeline.read(LABELLED_WINDOWS)
        return [decode_as(LabelledWindow, each.value) for each in messages if each.value]

    def has_windows_after(self, at_us: int, service: str) -> bool:
        return any(each.start_us > at_us and each.service == service for each in self.windows())
