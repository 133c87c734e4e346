"""`report.html`: a run on one page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from microservo.datasets.facts import ledger_rows
from microservo.datasets.files import read_columns
from microservo.datasets.pages import instant, own, template
from microservo.datasets.timeline import TRUTHS, rows_in_us, timeline
from microservo.domain.datasets.ledger import COUNTS, LedgerRow
from microservo.domain.datasets.manifest import Manifest, RunFacts
from schemas.records import Evaluation

Sums = dict[tuple[str, str], list[int]]
"""Counts by source and service."""

_STEPS = {
    "commanded": "apply_commanded_at",
    "applied": "applied_at",
    "effect seen": "effect_seen_at",
    "recovery commanded": "recovery_commanded_at",
    "recovered": "recovered_at",
    "normal": "normal_at",
}
_EVIDENCE = ("apply_evidence", "recovery_evidence", "effect_evidence", "reason")
_MEASURED = ("baseline", "value", "samples", "p_value")


def write_report(folder: Path, manifest: Manifest, evaluations: Sequence[Evaluation] = ()) -> None:
    """Writes `report.html`; a function of the tables in `folder` and of the run's evaluations alone."""
    sums, broken_rows = _summed(ledger_rows(folder / "ledger.parquet"))
    windows = manifest.file("windows.parquet")
    page = template("page/page.html.jinja").render(
        run=manifest.run,
        windows=windows.rows if windows else 0,
        facts=_facts(manifest),
        step_names=[f"#{name}" for name in _STEPS],
        faults=[_fault(row) for row in rows_in_us(folder, "faults.parquet")],
        measured_names=[f"#{name.replace('_', ' ')}" for name in _MEASURED],
        effects=_effects(folder),
        truths=_truths(folder),
        count_names=[f"#{name.replace('_', ' ')}" for name in COUNTS],
        sums=sorted(sums.items()),
        broken_rows=broken_rows,
        files=manifest.files,
        content_hash=manifest.content_hash,
        timeline=timeline(folder),
        boards=_boards(evaluations),
        css=own("page/page.css") + own("page/board.css"),
        js=own("page/page.js"),
        uplot_css=own("vendor/uPlot.min.css"),
        uplot_js=own("vendor/uPlot.iife.min.js"),
    )
    (folder / "report.html").write_text(page, "utf-8")


def _boards(evaluations: Sequence[Evaluation]) -> str:
    """The boards of a run; of one that nobody judged, none, and nothing that makes them is loaded."""
    if not evaluations:
        return ""
    from microservo.datasets.board_page import board_sections  # noqa: PLC0415
    from microservo.domain.evaluation.board import boards  # noqa: PLC0415

    return board_sections(boards(evaluations))


def _facts(manifest: Manifest) -> dict[str, str]:
    run, policy = manifest.run, manifest.policy
    produced = sum(counts.get("produced", 0) for counts in manifest.totals.values())
    facts = {
        "Started (UTC)": instant(run.started_at_us),
        "Lasted": _lasted(run),
        "Target": run.target,
        "Seed": str(run.seed),
        "Windows": f"{policy['size_us'] / 1e6:g} s",
        "Cuts": f"{policy['first_cut_us'] / 1e6:g} s and {policy['final_cut_us'] / 1e6:g} s",
        "Machine": " and ".join(f"{each.cpu_model}, {each.cpus} processors" for each in run.machines),
        "Load": " and ".join(f"{each.journeys_per_s:g} journeys/s" for each in run.loads),
        "Joined records": f"{produced:,}",
        "Not final, left out": f"{manifest.unfinished_windows:,}",
        **{name: version for name, version in manifest.versions.items() if name in ("microservo", "python")},
    }
    return {name: fact for name, fact in facts.items() if fact}


def _lasted(run: RunFacts) -> str:
    if run.finished_at_us is not None:
        return f"{(run.finished_at_us - run.started_at_us) / 1e6:.0f} s"
    return "goes on" if run.status == "running" else "unknown: it was aborted"


def _fault(row: dict[str, Any]) -> dict[str, Any]:
    requested_us = row["requested_at"]
    state = row["state"]
    return {
        "kind": row["kind"],
        "id": row["fault_id"],
        "parameters": ", ".join(f"{name}={value}" for name, value in json.loads(row["parameters"]).items()),
        "target": row["instance"] or row["service"],
        "state": state,
        "requested_at_us": requested_us,
        "steps_ms": [None if row[at] is None else (row[at] - requested_us) / 1e3 for at in _STEPS.values()],
        "outcome": state if state in ("rejected", "failed") else row["verdict"],
        "evidence": " · ".join(row[name] for name in _EVIDENCE if row[name]),
    }


def _effects(folder: Path) -> list[dict[str, Any]]:
    """What was measured, but for services that are only connected and where nothing moved."""
    applied_us: dict[str, int] = {}
    for fault in rows_in_us(folder, "faults.parquet", "fault_id", "applied_at"):
        if fault["applied_at"] is not None:
            known = applied_us.setdefault(fault["fault_id"], fault["applied_at"])
            applied_us[fault["fault_id"]] = min(known, fault["applied_at"])
    return [
        _effect(row, applied_us.get(row["fault_id"]))
        for row in rows_in_us(folder, "effects.parquet")
        if row["role"] != "exposed" or row["finding"] in ("undecided", "inconclusive")
    ]


def _effect(row: dict[str, Any], applied_us: int | None) -> dict[str, Any]:
    shared = ["shared with " + ", ".join(row["shared_with"])] if row["shared_with"] else []
    ends = (row["first_deviating_at"], row["last_deviating_at"])
    return {
        "kind": row["fault_kind"] or "",
        "id": row["fault_id"],
        "service": row["service"],
        "role": row["role"].replace("_", " "),
        "finding": row["finding"],
        "ends_ms": [None if None in (at, applied_us) else (at - applied_us) / 1e3 for at in ends],
        "measured": [_number(row[name]) for name in _MEASURED],
        "evidence": " · ".join([row["evidence"] or row["series"] or "", *shared]),
    }


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _truths(folder: Path) -> dict[str, int]:
    """How many windows there are of each truth."""
    counts = read_columns(folder / "windows.parquet", "truth").column("truth").value_counts()
    found = {each["values"]: each["counts"] for each in counts.to_pylist()}
    return {truth: found.get(truth, 0) for truth in TRUTHS}


def _summed(rows: Iterable[LedgerRow]) -> tuple[Sums, int]:
    """Counts summed over the minutes, and of how many rows the identity is broken."""
    sums: Sums = {}
    broken = 0
    for row in rows:
        broken += row.read != row.accounted
        counts = sums.setdefault((row.source, row.service), [0] * len(COUNTS))
        for place, name in enumerate(COUNTS):
            counts[place] += getattr(row, name)
    return sums, broken
