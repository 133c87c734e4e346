"""What Nezha's metric files need of a whole run: its machine, its host, who is called by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.formats.columns import coded
from microservo.datasets.formats.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class NezhaRun:
    """What is needed beside the telemetry itself.

    Attributes:
        memory_bytes: of the machine that the run took place on; NaN where that is not known, or there were
            several that differ.
        host: the service that host metrics are of; "" where there is none, or there are several.
        front: services that none but users call.
        calls: whose spans of calls say whom, sorted.
    """

    memory_bytes: float
    host: str
    front: frozenset[str]
    calls: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, source: Source, kinds: Mapping[str, str]) -> NezhaRun:
        """Those of a dataset, whose services are of these kinds."""
        sizes = {float(each.memory_bytes) for each in source.manifest.run.machines}
        hosts = [name for name, kind in kinds.items() if kind == "host"]
        graph = source.table("graph.parquet", "caller", "callee")
        users = {name for name, kind in kinds.items() if kind == "load_generator"}
        called = {
            callee
            for caller, callee in zip(
                *(graph.column(each).to_pylist() for each in graph.column_names), strict=True
            )
            if caller not in users
        }
        return cls(
            memory_bytes=sizes.pop() if len(sizes) == 1 else np.nan,
            host=hosts[0] if len(hosts) == 1 else "",
            front=frozenset(name for name, kind in kinds.items() if kind == "service") - called,
            calls=tuple(sorted(_calls(source))),
        )


def _calls(source: Source) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for block in source.blocks("traces.parquet", "service", "kind", "peer"):
        made = calls_of(block)
        caller, callee = coded(made.column("service")), coded(made.column("peer"))
        pairs = np.unique(np.stack((caller.codes, callee.codes)), axis=1)
        found |= {(caller.texts[one], callee.texts[other]) for one, other in pairs.T.tolist()}
    return found


def calls_of(spans: pa.Table) -> pa.Table:
    """The spans of calls that say whom they are to."""
    is_call = pc.fill_null(pc.equal(spans.column("kind").cast(pa.string()), "client"), False)
    return spans.filter(pc.and_(is_call, pc.is_valid(spans.column("peer"))))


@dataclass(frozen=True, slots=True)
class Calls:
    """Who calls whom, as pairs of names that are written, sorted."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, source: Source, services: Mapping[str, str]) -> Calls:
        """Those of a dataset; what is called may be no service of ours."""
        graph = source.table("graph.parquet", "caller", "callee")
        columns = (graph.column(each).to_pylist() for each in graph.column_names)
        pairs = {
            (services.get(one, one), services.get(other, other)) for one, other in zip(*columns, strict=True)
        }
        return cls(tuple(sorted(pairs)))
