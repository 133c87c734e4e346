"""The processes of the pipeline: how each is started, and how it shows that it is ready."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from microservo.adapters.kafka.embedded import EmbeddedBroker
from microservo.adapters.processes import python_argv
from microservo.application.catalogue_database import URL_VARIABLE
from microservo.platforms.target import cluster_variables
from microservo.runtime.probe import is_healthy
from microservo.sources.declared import AnySource
from microservo.supervision.environment_build import pip_variables
from microservo.supervision.supervisor import ProcessSpec
from microservo.supervision.system_file import environments_folder
from microservo.system.options import Folders, SystemOptions

COLLECTOR = "telemetry-collector"
INJECTOR = "fault-injector"
OBSERVER = "effect-observer"
STREAMS = "streams"
RUNNER = "algorithm-runner"
EVALUATOR = "evaluator"
PROJECTOR = "projector"
KAFKA = "kafka"
SOURCE = "source-"
"""What the names of processes that read declared sources begin with."""
KAFKA_STOP_TIMEOUT_S = 20.0
_STOP_S = 10.0


HEALTH_NAMES = (COLLECTOR, INJECTOR, OBSERVER, STREAMS, RUNNER, EVALUATOR)
"""The processes that every system has."""


def process_of(source: AnySource) -> str:
    """The name of the process that reads a source."""
    return f"{SOURCE}{source.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The services of one run; makes the specs of their processes.

    Attributes:
        control_port: of the collector's control API.
        health_ports: by process name; of the projector only where it is to run.
    """

    options: SystemOptions
    bootstrap_servers: str
    run_id: str
    otlp_port: int
    otlp_grpc_port: int
    control_port: int
    health_ports: Mapping[str, int]

    @property
    def folders(self) -> Folders:
        """Where the system keeps what it writes."""
        return self.options.folders

    def collector(self, control_token: str) -> ProcessSpec:
        """Takes telemetry from the target; without the target's `control_token` it has no control API."""
        return self._spec(
            COLLECTOR,
            "services.telemetry_collector",
            stop_timeout_s=_STOP_S,
            # An empty variable counts as unset.
            MICROSERVO_OTLP_HOST=self.options.otlp_host or "",
            MICROSERVO_OTLP_PORT=str(self.otlp_port),
            MICROSERVO_OTLP_GRPC_PORT=str(self.otlp_grpc_port),
            MICROSERVO_CONTROL_PORT=str(self.control_port) if control_token else "",
            MICROSERVO_CONTROL_TOKEN=control_token,
            MICROSERVO_TARGET_STATE=str(self.folders.target_state),
            MICROSERVO_WINDOW_S=_seconds(self.options.policy.size_us),
            MICROSERVO_FIRST_CUT_S=_seconds(self.options.policy.first_cut_us),
            MICROSERVO_FINAL_CUT_S=_seconds(self.options.policy.final_cut_us),
            MICROSERVO_DELAYS_S=json.dumps(
                {service: delay_us / 1e6 for service, delay_us in self.options.delays_us.items()}
            ),
            **self._cluster(),
        )

    def sources(self) -> tuple[ProcessSpec, ...]:
        """Read what the run declares beside; each is a collector of one source."""
        policy = self.options.policy
        return tuple(
            self._spec(
                process_of(each),
                "services.telemetry_collector",
                MICROSERVO_SOURCE=str(self.folders.source(each.name)),
                MICROSERVO_WINDOW_S=_seconds(policy.size_us),
                MICROSERVO_FIRST_CUT_S=_seconds(policy.first_cut_us),
                MICROSERVO_FINAL_CUT_S=_seconds(policy.final_cut_us),
            )
            for each in self.options.sources
        )

    def streams(self) -> ProcessSpec:
        """Joins telemetry with faults into labelled windows."""
        policy = self.options.policy
        return self._spec(
            STREAMS,
            "streams",
            MICROSERVO_PARTITIONS=str(self.options.partitions),
            MICROSERVO_WINDOW_S=_seconds(policy.size_us),
            MICROSERVO_FIRST_CUT_S=_seconds(policy.first_cut_us),
            MICROSERVO_FINAL_CUT_S=_seconds(policy.final_cut_us),
            MICROSERVO_FUTURE_S=_seconds(policy.future_us),
        )

    def observer(self) -> ProcessSpec:
        """Measures the effects of faults."""
        return self._spec(OBSERVER, "services.effect_observer")

    def runner(self) -> ProcessSpec:
        """Runs the algorithms that are deployed."""
        return self._spec(
            RUNNER,
            "services.algorithm_runner",
            # Each of its hosts puts away what its algorithm has learned.
            stop_timeout_s=20,
            MICROSERVO_ALGORITHMS_FOLDER=str(self.folders.algorithms),
            MICROSERVO_ENVIRONMENTS=str(environments_folder()),
            **pip_variables(),
        )

    def evaluator(self) -> ProcessSpec:
        """Keeps the board up to date, and works on evaluation tasks."""
        return self._spec(
            EVALUATOR,
            "services.evaluator",
            # When a run ends, it works out all metrics of all algorithms before it leaves.
            stop_timeout_s=60,
            MICROSERVO_TASKS_FOLDER=str(self.folders.tasks),
            MICROSERVO_ENVIRONMENTS=str(environments_folder()),
            **pip_variables(),
        )

    def projector(self) -> ProcessSpec:
        """Keeps the catalogue, in a database of the system's own unless the environment names one."""
        own = self.own_catalogue_url()
        # The environment's own is passed on by itself. In ours is nothing that the topics don't say.
        variables = {URL_VARIABLE: own, "MICROSERVO_CATALOGUE_REPLACED": "true"} if own else {}
        return self._spec(PROJECTOR, "services.projector", stop_timeout_s=_STOP_S, **variables)

    def own_catalogue_url(self) -> str:
        """Of the database in the system's folder; empty where there is none, or the environment names one."""
        if PROJECTOR not in self.health_ports or os.environ.get(URL_VARIABLE):
            return ""
        return f"sqlite:///{quote(str(self.folders.catalogue))}"

    def injector(self) -> ProcessSpec:
        """Carries out fault requests; needs the target's state file."""
        return self._spec(
            INJECTOR,
            "services.fault_injector",
            # It repairs what it has broken before it leaves.
            stop_timeout_s=15,
            MICROSERVO_TARGET_STATE=str(self.folders.target_state),
            **self._cluster(),
        )

    def _cluster(self) -> dict[str, str]:
        return {} if self.options.cluster is None else cluster_variables()

    def _spec(self, name: str, module: str, *, stop_timeout_s: float = _STOP_S, **env: str) -> ProcessSpec:
        port = self.health_ports[name]
        return ProcessSpec(
            name=name,
            argv=python_argv(module),
            env={**self.environment, "MICROSERVO_HEALTH_PORT": str(port), **env},
            log=self.folders.logs / f"{name}.log",
            stop_timeout_s=stop_timeout_s,
            ready=lambda: is_healthy(f"http://127.0.0.1:{port}"),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What each of our own processes gets."""
        return {
            "MICROSERVO_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": self.options.topic_prefix,
            "MICROSERVO_RUN_ID": self.run_id,
            # Services work in vectors of a few hundred numbers: threads of BLAS would only cost memory.
            "OPENBLAS_NUM_THREADS": "1",
        }


def kafka_spec(broker: EmbeddedBroker, log_dir: Path) -> ProcessSpec:
    """The process of an embedded broker that is prepared."""
    return ProcessSpec(
        name=KAFKA,
        argv=tuple(broker.argv()),
        env=broker.environment(),
        cwd=broker.folder,
        log=log_dir / f"{KAFKA}.log",
        stop_timeout_s=KAFKA_STOP_TIMEOUT_S,
        ready=lambda: broker.ready(0.5),
    )


def _seconds(us: int) -> str:
    return f"{us / 1e6:g}"
