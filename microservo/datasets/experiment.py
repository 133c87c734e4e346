"""`experiment.json`: under which circumstances a run took place, and what was done to it, in one document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from microservo.datasets.timeline import rows_in_us
from microservo.domain.datasets.manifest import Manifest

EXPERIMENT = "experiment.json"
_TIMES = (
    *("requested_at", "apply_commanded_at", "applied_at", "effect_seen_at"),
    *("recovery_commanded_at", "recovered_at", "normal_at"),
)
_OF_FAULT = (
    *("fault_id", "kind", "service", "instance", "state", "severity", "verdict", "origin", "duration_us"),
    *_TIMES,
)


def experiment_text(folder: Path, manifest: Manifest) -> str:
    """The document; what nobody knows is null in it, instants are microseconds UTC."""
    return json.dumps(_experiment(folder, manifest), indent=2, ensure_ascii=False) + "\n"


def _experiment(folder: Path, manifest: Manifest) -> dict[str, Any]:
    run = manifest.run
    return {
        "run_id": run.run_id,
        "status": run.status,
        "target": _known(run.target),
        "topology_sha256": _known(run.topology_sha256),
        "seed": run.seed,
        "started_at_us": run.started_at_us,
        "finished_at_us": run.finished_at_us,
        "fault_free_until_us": run.fault_free_until_us,
        "clock_moved_us": run.clock_moved_us,
        "windows": dict(manifest.policy),
        "partitions": run.partitions,
        "test_from_us": manifest.test_from_us,
        "versions": {"run": dict(run.versions), "dataset": dict(manifest.versions)},
        "machines": [_all_known(asdict(each)) for each in run.machines] or None,
        "load": [_all_known(asdict(each)) for each in run.loads] or None,
        "delays_us": dict(run.delays_us),
        "plan": [asdict(each) for each in run.plan],
        "faults": [_fault(row) for row in rows_in_us(folder, "faults.parquet")],
    }


def _fault(row: Mapping[str, Any]) -> dict[str, Any]:
    """A fault on an instance, as `faults.parquet` has it, with its parameters as they were applied."""
    found = {f"{name}_us" if name in _TIMES else name: row[name] for name in _OF_FAULT}
    return found | {"parameters": json.loads(row["parameters"])}


def _all_known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _known(value) for name, value in fields.items()}


def _known(value: Any) -> Any:
    """Null in place of the empty text, by which records say that something is not known."""
    return None if value == "" else value
