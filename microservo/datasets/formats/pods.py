"""Instances as pods: names that a format takes, and what is known of where each ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from microservo.datasets.formats.columns import coded, texts_of
from microservo.datasets.formats.distinct import faults_in_force
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.source import Source

_TELEMETRY = ("metrics.parquet", "logs.parquet", "traces.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """The pods of a run.

    Attributes:
        names: what is written for each instance, by service and instance; "" for one that did not say.
        hosts: where each ran, by the same, where that is known.
    """

    names: Mapping[tuple[str, str], str]
    hosts: Mapping[tuple[str, str], str]

    def column(self, table: pa.Table) -> pa.Array:
        """What is written for the instance of each row."""
        return self._column(table, self.names)

    def host_column(self, table: pa.Table) -> pa.Array:
        """Where the instance of each row ran; null where that is not known."""
        return self._column(table, self.hosts)

    def _column(self, table: pa.Table, values: Mapping[tuple[str, str], str]) -> pa.Array:
        service, instance = coded(table.column("service")), coded(table.column("instance"))
        width = len(instance.texts) + 1
        pairs, place = np.unique(service.codes * width + instance.codes + 1, return_inverse=True)
        owners = [
            (service.texts[pair // width], ["", *instance.texts][pair % width]) for pair in pairs.tolist()
        ]
        texts = sorted({values[owner] for owner in owners if owner in values})
        rank = {text: number for number, text in enumerate(texts)}
        codes = np.array([rank.get(values.get(owner, ""), -1) for owner in owners], np.int64)
        return texts_of(texts, codes[place])


def pods_of(source: Source, out: Export, rule: Callable[[str, int], str]) -> Pods:
    """The pods of a run; `names.csv` has each as `<service>/<instance>`.

    Args:
        source: the dataset.
        out: keeps the names.
        rule: gives the name of an instance by its service and its number among those of the service, from 0.
    """
    owners = _owners(faults_in_force(source))
    for table in _TELEMETRY:
        for block in source.blocks(table, "service", "instance"):
            owners |= _owners(block)
    hosts = {}
    seen = source.table("instances.parquet", "service", "instance", "host")
    for service, instance, host in zip(
        *(seen.column(each).to_pylist() for each in seen.column_names), strict=True
    ):
        if host is not None:
            hosts[service, instance or ""] = host
    ordered = sorted(owners | hosts.keys())
    numbers: dict[str, int] = {}
    wanted = {}
    for service, instance in ordered:
        numbers[service] = numbers.get(service, -1) + 1
        wanted[f"{service}/{instance}"] = rule(service, numbers[service])
    written = out.names.map("instance", wanted, wanted.__getitem__)
    names = {(service, instance): written[f"{service}/{instance}"] for service, instance in ordered}
    return Pods(names=names, hosts=hosts)


def _owners(block: pa.Table) -> set[tuple[str, str]]:
    service, instance = coded(block.column("service")), coded(block.column("instance"))
    pairs = np.unique(np.stack((service.codes, instance.codes)), axis=1)
    texts = [*instance.texts, ""]
    return {(service.texts[one], texts[other]) for one, other in pairs.T.tolist()}
