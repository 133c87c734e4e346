"""A target in a cluster: what it costs, how soon a fault is labelled: `python -m benchmarks.kubernetes`.

Ten minutes, on the API server of the tests, which is built the first time; CHAOS_MESH_CRDS names the folder
with Chaos Mesh's definitions. What plays Chaos Mesh writes the events of its objects as that does, with
microseconds; a label is late by what passes from there until `service-faults` has it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from benchmarks.load import create_topics
from benchmarks.processes import measure, own_python, peak_mb
from benchmarks.real_systems import (
    ChaosController,
    Cluster,
    RecordedProgress,
    Workloads,
    new_namespace,
    running_cluster,
)
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import child_environment
from microservo.client import Client
from microservo.platforms.target import KubernetesTarget
from microservo.runtime.probe import is_healthy
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.options import ClusterOptions
from microservo.testing import eventually
from schemas.records import ServiceFault

COMMAND = "python -m benchmarks.kubernetes"
_SERVICES = 100
_MOST_MB = 100.0
_MOST_MS = 300.0
_PATIENCE_S = 300.0


def watch_figures(cluster: Cluster, folder: Path, pods: int) -> Iterator[Figure]:
    """Memory of a process that follows so many pods and does nothing else, and of an injector that does."""
    namespace, small = _deployed(cluster, pods, _SERVICES), _deployed(cluster, 1, 1)
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(cluster.kubeconfig()))
    arguments = ("--namespace", namespace, "--kubeconfig", str(kubeconfig))
    outcome = measure(own_python(), "benchmarks.kubernetes_watch", *arguments, timeout_s=_PATIENCE_S)
    if outcome.result is None or outcome.result["pods"] != pods:
        raise RuntimeError(outcome.reason or f"{outcome.result} of {pods} pods were seen")
    of_one_mb, of_all_mb = _injector_mb(small, folder / "small"), _injector_mb(namespace, folder / "large")
    found = {
        f"peak resident memory of a process that watches, {pods:,} pods": outcome.result["peak_mb"],
        f"memory of an injector that {pods:,} pods take, rather than one pod": of_all_mb - of_one_mb,
    }
    for what, memory_mb in found.items():
        yield figure(
            what,
            memory_mb,
            "MiB",
            peer="asked for, at the most",
            peer_value=_MOST_MB,
            command=COMMAND,
        )
    yield figure(
        f"peak resident memory of an injector, {pods:,} pods",
        of_all_mb,
        "MiB",
        peer="the injector with one pod",
        peer_value=of_one_mb,
        command=COMMAND,
    )
    before_mb = outcome.result["before_mb"]
    yield figure(
        f"memory of {pods:,} pods alone",
        outcome.result["peak_mb"] - before_mb,
        "MiB",
        peer="the process without them",
        peer_value=before_mb,
        command=COMMAND,
    )


def _deployed(cluster: Cluster, pods: int, services: int) -> str:
    """A namespace with so many pods that run."""
    workloads = Workloads(cluster.api(), new_namespace(cluster.api()))
    with ThreadPoolExecutor(2) as threads:
        each = pods // services
        list(threads.map(lambda number: workloads.deploy(f"service-{number}", each), range(services)))
    return workloads.namespace


def _injector_mb(namespace: str, folder: Path) -> float:
    """Peak memory of an injector, once it knows all pods."""
    folder.mkdir()
    state = folder / "target.json"
    state.write_text(KubernetesTarget(namespaces=(namespace,)).model_dump_json())
    with running_broker(folder / "broker") as broker:
        create_topics(KafkaBroker(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)))
        (health,) = free_ports(1)
        environment = child_environment(
            {
                "KUBECONFIG": str(folder.parent / "kubeconfig"),
                "MICROSERVO_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
                "MICROSERVO_RUN_ID": "kubernetes",
                "MICROSERVO_TARGET_STATE": str(state),
                "MICROSERVO_HEALTH_PORT": str(health),
            }
        )
        with (folder / "injector.log").open("wb") as log:
            argv = [sys.executable, "-m", "services.fault_injector"]
            process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        try:
            eventually(
                lambda: is_healthy(f"http://127.0.0.1:{health}"), timeout_s=_PATIENCE_S, what="injector"
            )
            return _settled_mb(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _settled_mb(pid: int) -> float:
    """The peak, once it has not grown for a while."""
    peak, since_s = 0.0, time.monotonic()
    while time.monotonic() - since_s < 10:
        if peak_mb(pid) > peak:
            peak, since_s = peak_mb(pid), time.monotonic()
        time.sleep(0.2)
    return peak


def label_figures(cluster: Cluster, folder: Path, faults: int) -> Iterator[Figure]:
    """How late the labels of so many faults are, one after another."""
    workloads = Workloads(cluster.api(), new_namespace(cluster.api()))
    workloads.deploy("redis-cart", replicas=2)
    workloads.deploy("front")
    os.environ["KUBECONFIG"] = str(folder / "kubeconfig")
    os.environ["MICROSERVO_HOME"] = str(folder / "home")
    (folder / "kubeconfig").write_text(json.dumps(cluster.kubeconfig()))
    options = SystemOptions(
        name="labels", cluster=ClusterOptions(namespaces=(workloads.namespace,)), algorithms=()
    )
    with ChaosController(workloads).running(), EmbeddedSystem(options, RecordedProgress()) as system:
        system.start()
        late_ms = sorted(_late_ms(system.client, f"fault-{number}") for number in range(faults))
    found = {
        "median": statistics.median(late_ms),
        "p99": late_ms[min(len(late_ms) - 1, round(0.99 * len(late_ms)))],
        "longest": late_ms[-1],
    }
    for what, value in found.items():
        yield figure(
            f"from the cluster's event to the label, {what} of {len(late_ms)} faults",
            value,
            "ms",
            peer="asked for at p99, at the most",
            peer_value=_MOST_MS,
            command=COMMAND,
        )


def _late_ms(client: Client, fault_id: str) -> float:
    """Milliseconds from the event of a fault on one pod until its label could be read."""
    with client.topics.subscribe("service-faults") as records:
        client.faults.request(
            "network-delay",
            service="redis-cart",
            mode="one",
            latency="10ms",
            duration="500ms",
            fault_id=fault_id,
        )
        while True:
            received = records.poll(0.01)
            read_us = now_us()
            record = None if received is None else received.record
            if isinstance(record, ServiceFault) and record.fault_id == fault_id and record.applied_at_us:
                break
    client.faults.wait(fault_id, "recovered", _PATIENCE_S)
    return (read_us - record.applied_at_us) / 1000


def _in_a_cluster(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="kube-") as place, running_cluster(Path(place)) as cluster:
        if given.pods:
            yield from watch_figures(cluster, folder, given.pods)
        if given.faults:
            yield from label_figures(cluster, folder, given.faults)


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--pods", type=int, default=5000, help="to be watched; 0 leaves that part out")
    parser.add_argument("--faults", type=int, default=200, help="to be labelled; likewise")
    return run(parser, _in_a_cluster, name="kubernetes", title="A target in a cluster")


if __name__ == "__main__":
    sys.exit(main())
