"""`report.html`: a run on one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.facts import ledger_rows
from microservo.datasets.timeline import as_script, timeline
from microservo.domain.datasets.ledger import LedgerRow
from microservo.domain.datasets.manifest import Manifest

Sums = dict[tuple[str, str], list[int]]
"""Counts by source and service."""

_STEPS = (
    ("commanded", "apply_commanded_at"),
    ("applied", "applied_at"),
    ("effect seen", "effect_seen_at"),
    ("recovery told", "recovery_commanded_at"),
    ("recovered", "recovered_at"),
    ("normal", "normal_at"),
)
_NONE = "-"
_COUNTS = ("read", "in_windows", "late", "duplicate", "dropped", "rejected", "unfinished")


def write_report(folder: Path, manifest: Manifest) -> None:
    """Writes `report.html` from the tables in `folder`; a function of their content alone."""
    sums, broken = _summed(ledger_rows(folder / "ledger.parquet"))
    page = Template(_text("page/page.html")).substitute(
        title=escape(manifest.run.run_id),
        lede=escape(_lede(manifest)),
        facts=_facts(manifest),
        faults=_faults(pq.read_table(folder / "faults.parquet")),
        ledger=_ledger(sums),
        ledger_verdict=_ledger_verdict(broken),
        files=_files(manifest),
        content_hash=escape(manifest.content_hash),
        data=as_script(timeline(folder)),
        css=_text("page/page.css"),
        js=_text("page/page.js"),
        uplot_css=_text("vendor/uPlot.min.css"),
        uplot_js=_text("vendor/uPlot.iife.min.js"),
    )
    (folder / "report.html").write_text(page, "utf-8")


def _text(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text("utf-8")


def _lede(manifest: Manifest) -> str:
    run, windows = manifest.run, manifest.file("windows.parquet")
    count = windows.rows if windows else 0
    return (
        f"Target system {run.target}, seed {run.seed}, {run.status}: {count} window revisions with labels, "
        f"rebuilt from the log."
    )


def _facts(manifest: Manifest) -> str:
    run, policy = manifest.run, manifest.policy
    ended = run.finished_at_us
    lasted = f"{(ended - run.started_at_us) / 1e6:.0f} s" if ended else "goes on"
    produced = sum(counts.get("produced", 0) for counts in manifest.totals.values())
    facts = {
        "Started (UTC)": _instant(run.started_at_us),
        "Lasted": lasted,
        "Target": run.target,
        "Seed": run.seed,
        "Windows": f"{policy['size_us'] / 1e6:g} s",
        "Cuts": f"{policy['first_cut_us'] / 1e6:g} s and {policy['final_cut_us'] / 1e6:g} s",
        "Joined records": f"{produced:,}",
        "Not final, left out": f"{manifest.unfinished_windows:,}",
        **{name: version for name, version in manifest.versions.items() if name in ("microservo", "python")},
    }
    return "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in facts.items())


def _faults(table: pa.Table) -> str:
    times = [name for name in table.column_names if pa.types.is_timestamp(table.schema.field(name).type)]
    for name in times:
        micros = table.column(name).cast(pa.int64())
        table = table.set_column(table.column_names.index(name), name, micros)
    head = [
        "fault",
        "target",
        "requested (UTC)",
        *(f"#{label}" for label, _ in _STEPS),
        "verdict",
        "evidence",
    ]
    return _table(head, [_fault(row) for row in table.to_pylist()])


def _fault(row: dict[str, Any]) -> list[str]:
    requested = row["requested_at"]
    steps = [_NONE if row[name] is None else f"{(row[name] - requested) / 1e3:,.0f}" for _, name in _STEPS]
    parameters = ", ".join(f"{name}={value}" for name, value in row["parameters"])
    state = row["state"]
    outcome = state if state in ("rejected", "failed") else row["verdict"]
    words = " · ".join(text for text in (row["evidence"], row["reason"]) if text)
    return [
        f"<b>{escape(row['kind'])}</b><small>{escape(row['fault_id'])}</small><small>{escape(parameters)}</small>",
        f"{escape(row['instance'] or row['service'])}<small>{escape(state)}</small>",
        escape(_instant(requested)),
        *map(escape, steps),
        f'<span class="{escape(outcome)}">{escape(outcome)}</span>',
        escape(words),
    ]


def _summed(rows: Iterable[LedgerRow]) -> tuple[Sums, int]:
    """Counts summed over the minutes, and of how many rows the identity is broken."""
    sums: Sums = {}
    broken = 0
    for row in rows:
        broken += row.read != row.accounted
        counts = sums.setdefault((row.source, row.service), [0] * len(_COUNTS))
        for place, name in enumerate(_COUNTS):
            counts[place] += getattr(row, name)
    return sums, broken


def _ledger(sums: Sums) -> str:
    """The table in the dataset has each minute."""
    head = ["source", "service", *(f"#{name.replace('_', ' ')}" for name in _COUNTS)]
    lines = [[escape(a), escape(b), *(f"{n:,}" for n in counts)] for (a, b), counts in sorted(sums.items())]
    return _table(head, lines)


def _ledger_verdict(broken: int) -> str:
    if broken:
        return f'<span class="bad">The identity is broken in {broken} rows.</span>'
    return '<span class="good">The identity holds in every minute.</span>'


def _files(manifest: Manifest) -> str:
    lines = [
        [
            f"<code>{escape(entry.name)}</code>",
            _NONE if entry.rows is None else f"{entry.rows:,}",
            f"{entry.size_bytes:,}",
            f"<code>{escape(entry.sha256)}</code>",
        ]
        for entry in manifest.files
    ]
    return _table(["file", "#rows", "#bytes", "SHA-256"], lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of cells that are escaped already; a head that begins with # is of numbers."""
    kinds = ["number" if name.startswith("#") else "" for name in head]
    kinds[-1] = kinds[-1] or "words"
    heads = "".join(
        f'<th class="{kind}" scope="col">{escape(name.removeprefix("#"))}</th>'
        for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for cell, kind in zip(line, kinds, strict=True))
        + "</tr>"
        for line in lines
    )
    body = body or f'<tr><td colspan="{len(head)}">none</td></tr>'
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _instant(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
