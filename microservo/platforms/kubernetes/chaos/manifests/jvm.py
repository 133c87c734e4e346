"""JVMChaos: an agent in the Java program of the container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.db_slow_query import DbSlowQuery
from microservo.domain.faults.kinds.jvm_cpu_hog import JvmCpuHog
from microservo.domain.faults.kinds.jvm_exception import JvmException
from microservo.domain.faults.kinds.jvm_gc import JvmGc
from microservo.domain.faults.kinds.jvm_latency import JvmLatency
from microservo.domain.faults.kinds.jvm_memory_hog import JvmMemoryHog
from microservo.errors import InvalidInput
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import milliseconds
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "JVMChaos"
_CONNECTORS = (5, 8)


def _latency(fault: JvmLatency, pod: Pod) -> Experiment:
    where = {"class": fault.class_name, "method": fault.method}
    return _of("latency", pod, **where, latency=milliseconds(fault.latency_us))


def _exception(fault: JvmException, pod: Pod) -> Experiment:
    where = {"class": fault.class_name, "method": fault.method}
    return _of("exception", pod, **where, exception=f'{fault.exception}("microservo")')


def _gc(_fault: JvmGc, pod: Pod) -> Experiment:
    return _of("gc", pod)


def _cpu(fault: JvmCpuHog, pod: Pod) -> Experiment:
    return _of("stress", pod, cpuCount=fault.workers)


def _memory(_fault: JvmMemoryHog, pod: Pod) -> Experiment:
    return _of("stress", pod, memType="heap")


def _slow_query(fault: DbSlowQuery, pod: Pod) -> Experiment:
    if fault.connector not in _CONNECTORS:
        msg = (
            f"the MySQL driver {fault.connector} is not known to Chaos Mesh; give connector=5 or connector=8"
        )
        raise InvalidInput(msg)
    table = {"table": fault.table} if fault.table else {}
    return _of(
        "mysql",
        pod,
        mysqlConnectorVersion=str(fault.connector),
        database=fault.database,
        **table,
        latency=milliseconds(fault.latency_us),
    )


def _of(action: str, pod: Pod, **spec: Any) -> Experiment:
    return Experiment(kind=OBJECT, spec={"action": action, "containerNames": [pod.containers[0]], **spec})


BUILDERS: Mapping[type[Fault], Any] = {
    DbSlowQuery: _slow_query,
    JvmCpuHog: _cpu,
    JvmException: _exception,
    JvmGc: _gc,
    JvmLatency: _latency,
    JvmMemoryHog: _memory,
}
