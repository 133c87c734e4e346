"""The broker of a system: one's own, or an embedded one that is started."""

from __future__ import annotations

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.kafka.embedded import EmbeddedBroker, default_cache_dir
from microservo.adapters.ports import free_ports
from microservo.application.connection import kafka_settings
from microservo.application.progress import Progress
from microservo.supervision.supervisor import Supervisor
from microservo.system.options import SystemOptions
from microservo.system.processes import KAFKA, kafka_spec

_KAFKA_START_S = 90.0
_OWN_S = 10


def start_broker(supervisor: Supervisor, options: SystemOptions, progress: Progress) -> str:
    """Where the broker answers, once it does.

    Raises:
        Unavailable: it does not.
    """
    if options.bootstrap_servers:
        with progress.stage("broker") as stage:
            stage.show(options.bootstrap_servers)
            KafkaBroker(kafka_settings(options.bootstrap_servers)).admin().wait_ready(_OWN_S)
        return options.bootstrap_servers
    port, controller_port = free_ports(2)
    broker = EmbeddedBroker(
        options.folders.kafka, port=port, controller_port=controller_port, cache_dir=default_cache_dir()
    )
    with progress.stage("broker's files") as stage:
        broker.prepare(stage.advance)
        stage.show("Apache Kafka, in the cache")
    with progress.stage("broker") as stage:
        supervisor.start(kafka_spec(broker, options.folders.logs))
        supervisor.wait_ready([KAFKA], _KAFKA_START_S)
        stage.show(broker.bootstrap_servers)
    return broker.bootstrap_servers
