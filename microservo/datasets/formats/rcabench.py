"""RCABench's datapacks: a folder per fault, with what came before it and what while it went on.

::

    <service>-<fault>-<n>/
        {normal,abnormal}_traces.parquet       Timestamp (ns), Duration (ns), attributes as JSON
        {normal,abnormal}_logs.parquet         Timestamp (ns), SeverityNumber, Body, ...
        {normal,abnormal}_metrics.parquet      levels: TimeUnix (ns), MetricName, Value, ...
        {normal,abnormal}_metrics_sum.parquet  increases of rates, and requests every ten seconds
        {normal,abnormal}_metrics_histogram.parquet   durations of requests every ten seconds
        {normal,abnormal}_trace_id_ts.parquet  first and last instant of each trace
        env.json                               both time ranges in epoch seconds, and that they are of UTC
        injection.json                         fault, times, ground truth
        causal_graph.json                      services that were affected, and who called whom of them
        k8s.json                               services and pods
        sha256sum.txt

Times before and while are next to each other, as RCABench wants them: there are no gaps.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np

from microservo.datasets.files import file_hash
from microservo.datasets.formats.datapack import Datapack
from microservo.datasets.formats.distinct import services_by_kind
from microservo.datasets.formats.fault_cases import FaultCase, FaultCases, note_controls
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.pods import pods_of
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US, Stretches
from microservo.errors import InvalidInput

FAULTS = {
    "cpu-hog": "CPUStress",
    "memory-hog": "MemoryStress",
    "network-delay": "NetworkDelay",
    "network-loss": "NetworkLoss",
    "network-corrupt": "NetworkCorrupt",
    "network-bandwidth": "NetworkBandwidth",
    "network-partition": "NetworkPartition",
    "process-kill": "ContainerKill",
    "dns-failure": "DNSError",
    "dns-wrong-address": "DNSRandom",
    "clock-skew": "TimeSkew",
}
"""Kinds that RCABench has words of its own for."""
LEAST_S, MOST_S = 10, 600
"""Seconds of telemetry that a datapack has on each side of the injection."""


@dataclass(frozen=True, slots=True)
class _Ranges:
    """When it was normal and when not, in epoch seconds; the end of one is the beginning of the other."""

    normal_s: int
    abnormal_s: int
    end_s: int

    def items(self) -> Iterator[tuple[str, int, int]]:
        yield "normal", self.normal_s, self.abnormal_s
        yield "abnormal", self.abnormal_s, self.end_s


class RcaBench:
    """RCABench."""

    name: ClassVar[str] = "rcabench"
    losses: ClassVar[Sequence[str]] = (
        "Which window was anomalous: a datapack has two ranges of whole seconds, one before the fault and one"
        " while it was in force or seen.",
        "Recovery, verdict and evidence of a fault; how affected a service was.",
        "Rates: metrics_sum has the increase that each stands for. Requests and durations in metrics_sum and"
        " metrics_histogram are counted from spans.",
        "States of services in causal_graph.json: what is known is that they were affected, and since when.",
        "Status codes and attributes of spans other than kind and failure; templates of lines.",
        "Windows, features, labels, scores, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """A folder for each fault with time before it that nothing disturbed."""
        found = FaultCases.of(source)
        note_controls(found, out)
        disturbed = found.disturbed
        ranges = {case.fault_id: _ranges(case, found, disturbed) for case in found.harmful}
        cases = [(case, times) for case in found.harmful if (times := ranges[case.fault_id]) is not None]
        for case in found.harmful:
            if ranges[case.fault_id] is None:
                out.lost(
                    f"Fault {case.fault_id} ({case.kind} at {case.service}): there are fewer than {LEAST_S}"
                    " seconds right before it that no fault disturbed."
                )
        if not cases:
            msg = (
                f"run {source.manifest.run.run_id} holds no fault with {LEAST_S} undisturbed seconds right"
                " before it, and RCABench's datapacks are of such; choose a run with faults that lie apart"
            )
            raise InvalidInput(msg)
        kinds = services_by_kind(source)
        services = out.names.map("service", kinds, file_name)
        faults = out.names.map("fault", (case.kind for case in found.harmful), file_name, FAULTS)
        pods = pods_of(source, out, lambda service, number: f"{services[service]}-{number}")
        numbers: Counter[str] = Counter()
        for done, (case, times) in enumerate(cases, start=1):
            name = f"{services[case.service]}-{faults[case.kind]}"
            numbers[name] += 1
            folder = f"{name}-{numbers[name]}"
            pack = Datapack(out=out, folder=folder, pods=pods, services=services)
            for prefix, first_s, end_s in times.items():
                stretch = Stretches.of([(first_s * SECOND_US, end_s * SECOND_US)])
                for empty in pack.write(source, prefix, stretch):
                    out.lost(f"Datapack {folder}: {empty} has no rows, and RCABench takes none such.")
            documents = {
                "env.json": _env(times),
                "injection.json": _injection(case, folder, times, faults[case.kind], pack),
                "causal_graph.json": _causal_graph(source, case, services),
                "k8s.json": _pods(pack),
            }
            for document, content in documents.items():
                out.text(f"{folder}/{document}", json.dumps(content, indent=2) + "\n")
            _write_sums(out, folder)
            out.progress(done, len(cases))


FORMAT = RcaBench()


def _ranges(case: FaultCase, found: FaultCases, disturbed: Stretches) -> _Ranges | None:
    """None where there is too little before the fault."""
    abnormal_s = int(case.disturbed.from_us[0]) // SECOND_US
    seconds, touched = disturbed.seconds_between(found.from_us, abnormal_s * SECOND_US)
    last = np.flatnonzero(touched)
    quiet = len(seconds) - (int(last[-1]) + 1 if len(last) else 0)
    if quiet < LEAST_S or (len(seconds) and int(seconds[-1]) + 1 != abnormal_s):
        return None
    end_s = min(-(-case.ended_us // SECOND_US), found.until_us // SECOND_US)
    length_s = max(1, min(MOST_S, end_s - abnormal_s))
    return _Ranges(abnormal_s - min(quiet, MOST_S), abnormal_s, abnormal_s + length_s)


def _env(times: _Ranges) -> Mapping[str, str]:
    return {
        "NAMESPACE": "microservo",
        "DB_TIMEZONE": "UTC",
        "NORMAL_START": str(times.normal_s),
        "NORMAL_END": str(times.abnormal_s),
        "ABNORMAL_START": str(times.abnormal_s),
        "ABNORMAL_END": str(times.end_s),
    }


def _injection(
    case: FaultCase, folder: str, times: _Ranges, fault_type: str, pack: Datapack
) -> Mapping[str, Any]:
    service = pack.services[case.service]
    return {
        "name": folder,
        "fault_type": fault_type,
        "start_time": _instant(times.abnormal_s),
        "end_time": _instant(times.end_s),
        "display_config": {"namespace": "microservo", "injection_point": {"app_name": service}},
        "ground_truth": [
            {
                "service": [service],
                "pod": [pack.pods.names[case.service, each.instance] for each in case.applied_to],
                "container": [],
                "span": [],
                "metric": [],
                "function": [],
            }
        ],
    }


def _pods(pack: Datapack) -> Mapping[str, Any]:
    pods: dict[str, list[str]] = {}
    for (service, _), pod in pack.pods.names.items():
        pods.setdefault(pack.services[service], []).append(pod)
    return {"services": {service: {"pods": own} for service, own in pods.items()}}


def _causal_graph(source: Source, case: FaultCase, services: Mapping[str, str]) -> Mapping[str, Any]:
    """The services that the fault was seen at, its root in front, and who called whom of them."""
    columns = ("fault_id", "service", "finding", "first_deviating_at")
    table = source.table("effects.parquet", *columns)
    seen = {
        row["service"]: row["first_deviating_at"]
        for row in table.to_pylist()
        if row["fault_id"] == case.fault_id and row["finding"] == "visible"
    }
    root = _node(services[case.service], case.applied_us)
    others = [
        _node(services[name], first_us) for name, first_us in sorted(seen.items()) if name != case.service
    ]
    graph = source.table("graph.parquet", "caller", "callee")
    pairs = set(zip(graph.column("caller").to_pylist(), graph.column("callee").to_pylist(), strict=True))
    affected = {case.service, *seen}
    # What a callee suffers from, its caller does.
    edges = sorted(
        (f"service|{services[callee]}", f"service|{services[caller]}")
        for caller, callee in pairs
        if caller in affected and callee in affected
    )
    called = {callee for caller, callee in pairs if caller in affected}
    alarms = [
        _node(services[name], first_us) for name, first_us in sorted(seen.items()) if name not in called
    ]
    components = {each["component"]: each["component"].removeprefix("service|") for each in (root, *others)}
    return {
        "nodes": [root, *others],
        "edges": [{"source": one, "target": other} for one, other in edges],
        "root_causes": [root],
        "alarm_nodes": alarms,
        "component_to_service": components,
    }


def _node(service: str, time_us: int | None) -> Mapping[str, Any]:
    time_ns = None if time_us is None else time_us * 1000
    return {"timestamp": time_ns, "component": f"service|{service}", "state": ["affected"]}


def _instant(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_sums(out: Export, folder: str) -> None:
    """As `sha256sum *` does."""
    files = sorted(out.path(f"{folder}/sha256sum.txt").parent.iterdir())
    out.text(f"{folder}/sha256sum.txt", "".join(f"{file_hash(path)[1]}  {path.name}\n" for path in files))
