"""A dataset as algorithms and the board see the run that it is of: windows, and what is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from microservo.datasets.timeline import rows_in_us
from microservo.datasets.verifying import read_manifest
from microservo.domain.evaluation import Read
from schemas.records import (
    Experiment,
    FaultEffect,
    FaultVerdict,
    FeatureWindow,
    LabelledWindow,
    ServiceFault,
    ServiceGraph,
)


class RecordedDataset:
    """Reads a dataset.

    Args:
        folder: with its tables and its manifest.

    Raises:
        InvalidInput: the folder holds no dataset.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        manifest = read_manifest(folder)
        facts, policy = manifest.run, manifest.policy
        self.run = Experiment(
            run_id=facts.run_id,
            status="finished",
            seed=facts.seed,
            target=facts.target,
            started_at_us=facts.started_at_us,
            window_us=policy["size_us"],
            first_cut_us=policy["first_cut_us"],
            final_cut_us=policy["final_cut_us"],
            start_offsets={},
            end_offsets={},
            versions=dict(facts.versions),
            finished_at_us=facts.finished_at_us,
            fault_free_until_us=facts.fault_free_until_us,
        )
        self.name = f"{facts.run_id}:{manifest.content_hash[:12]}"

    def windows(self) -> Iterator[tuple[FeatureWindow, int]]:
        """The first revisions of all windows in order of time, as if all lay on one partition."""
        final = self._rows("windows.parquet", "start", "service", "feature_names", "feature_values")
        first = self._rows(
            "window_revisions.parquet",
            *("start", "end", "service", "service_kind", "revision", "feature_names", "feature_values"),
        )
        # Both tables are by start and service; a revision with the final features has none of its own.
        last: Mapping[str, Any] | None = None
        for row in first:
            if row["revision"] != 0:
                continue
            while last is None or (last["start"], last["service"]) < (row["start"], row["service"]):
                last = next(final)
            own = row if row["feature_names"] is not None else last
            window = FeatureWindow(
                run_id=self.run.run_id,
                service=row["service"],
                start_us=row["start"],
                end_us=row["end"],
                revision=0,
                names=tuple(own["feature_names"]),
                values=tuple(own["feature_values"]),
                service_kind=row["service_kind"],
            )
            yield window, 0

    def facts(self) -> Iterator[Read]:
        """What is known to be true."""
        for row in self._rows(
            "windows.parquet", "start", "end", "service", "service_kind", "revision", "truth"
        ):
            yield LabelledWindow(
                run_id=self.run.run_id,
                service=row["service"],
                start_us=row["start"],
                end_us=row["end"],
                revision=row["revision"],
                names=(),
                values=(),
                labels=(),
                service_kind=row["service_kind"],
                truth=row["truth"],
            )
        yield from self._faults()
        yield from self._effects()

    def graphs(self) -> Iterator[ServiceGraph]:
        """Who called whom, an edge each."""
        for row in self._rows("graph.parquet", "start", "end", "caller", "callee", "calls", "errors"):
            yield ServiceGraph(
                run_id=self.run.run_id,
                start_us=row["start"],
                end_us=row["end"],
                callers=(row["caller"],),
                callees=(row["callee"],),
                calls=(row["calls"],),
                errors=(row["errors"],),
            )

    def _faults(self) -> Iterator[ServiceFault]:
        # A label has its fault's severity, also where events were written before they had one.
        labels = self._rows("labels.parquet", "fault_id", "severity")
        severities = {row["fault_id"]: row["severity"] for row in labels}
        by_fault: dict[str, list[Mapping[str, Any]]] = {}
        for row in self._rows("faults.parquet"):
            if row["applied_at"] is not None:
                by_fault.setdefault(row["fault_id"], []).append(row)
        for fault_id, rows in sorted(by_fault.items()):
            ends = [row["recovered_at"] for row in rows]
            yield ServiceFault(
                run_id=self.run.run_id,
                fault_id=fault_id,
                version=max(row["version"] for row in rows),
                kind=rows[0]["kind"],
                service=rows[0]["service"],
                root_service=rows[0]["service"],
                role="root_cause",
                hops=0,
                severity=severities.get(fault_id, rows[0]["severity"] or 0.0),
                requested_at_us=rows[0]["requested_at"],
                relation="root",
                applied_at_us=min(row["applied_at"] for row in rows),
                recovered_at_us=None if None in ends else max(ends),
            )

    def _effects(self) -> Iterator[FaultEffect | FaultVerdict]:
        intervals: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in self._rows("effect_intervals.parquet"):
            intervals.setdefault((row["fault_id"], row["service"]), []).append(row)
        for row in self._rows("effects.parquet"):
            own = sorted(
                intervals.get((row["fault_id"], row["service"]), []), key=lambda each: each["number"]
            )
            yield FaultEffect(
                run_id=self.run.run_id,
                fault_id=row["fault_id"],
                service=row["service"],
                version=1,
                root_service=row["root_service"],
                relation=row["relation"],
                finding=row["finding"],
                starts_us=tuple(each["first_deviating_at"] for each in own),
                ends_us=tuple(each["last_deviating_at"] for each in own),
                is_open=row["is_open"],
                through_us=row["looked_until"] or 0,
                is_final=row["is_final"],
                shared_with=tuple(row["shared_with"]),
                late_starts_us=tuple(row["late_starts_us"]),
                late_ends_us=tuple(row["late_ends_us"]),
            )
            # Nothing more will come of a fault in a dataset.
            yield FaultVerdict(
                run_id=self.run.run_id,
                fault_id=row["fault_id"],
                service=row["root_service"],
                version=1,
                verdict="confirmed" if row["finding"] == "visible" else "inconclusive",
                is_final=True,
                evidence="",
            )

    def _rows(self, name: str, *columns: str) -> Iterator[dict[str, Any]]:
        return rows_in_us(self._folder, name, *columns)
