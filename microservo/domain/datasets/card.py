"""The dataset card: `README.md` with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import escape

from microservo.domain.datasets.manifest import FileEntry, Manifest
from microservo.domain.text import printable
from microservo.domain.truth import RULE

_SIZE_STEPS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
"""Ends of the size categories that the hub knows; each is ten times the one before."""
_TABLES = {
    "windows": "every revision of every labelled window: features, labels, and the truth by the rule below",
    "metrics": "metric points",
    "logs": "log lines with their templates",
    "traces": "spans; `time` is their end",
    "faults": "one row per fault and instance, with its measured times, parameters and verdict",
    "fault_events": "the story of every fault: each version of each row of `faults`",
    "scores": "what each algorithm said of each window, while the run went on",
    "graph": "who called whom, per interval, and what the callee is",
    "instances": "what each instance said of itself: what it is, version, host, container, scopes",
    "ledger": "where every record went, per source, service and minute",
}


def dataset_card(manifest: Manifest) -> str:
    """The text of `README.md`; it says nothing about the machine or the time of the build."""
    return f"{_front_matter(manifest)}\n{_body(manifest)}"


def _front_matter(manifest: Manifest) -> str:
    lines = [
        "---",
        "language: [en]",
        f"pretty_name: {json.dumps('MicroServo run ' + printable(manifest.run.run_id))}",
        "tags: [aiops, anomaly-detection, root-cause-analysis, microservices, telemetry]",
        "task_categories: [time-series-forecasting, tabular-classification, other]",
        f"size_categories: [{_size(sum(entry.rows or 0 for entry in manifest.files))}]",
        "annotations_creators: [machine-generated]",
        "source_datasets: [original]",
        "configs:",
    ]
    for entry in _tables(manifest):
        name = entry.name.removesuffix(".parquet")
        lines += [f"  - config_name: {name}", "    data_files:", "      - split: train"]
        lines.append(f"        path: {entry.name}")
    return "\n".join([*lines, "---", ""])


def _body(manifest: Manifest) -> str:
    run, policy = manifest.run, manifest.policy
    run_id, target = _words(run.run_id), _words(run.target)
    table_lines = "\n".join(
        f"| `{entry.name}` | {entry.rows} | {_TABLES[entry.name.removesuffix('.parquet')]} |"
        for entry in _tables(manifest)
    )
    return f"""# MicroServo run {run_id}

## Summary
Telemetry of the target system **{target}** under load, with faults injected into it and every window
labelled with what was really wrong. Started {_instant(run.started_at_us)}, seed {run.seed}, status
{run.status}. Content hash `{manifest.content_hash}`: anyone who rebuilds the run from the log gets the same.
`report.html` shows the run.

## Structure
Canonical Parquet (zstd), instants in UTC microseconds. Rows of `metrics`, `logs` and `traces` lie window by
window, as those of `windows` do: sorted by start of their window, service, time and then by all else.

| file | rows | one row is |
|---|---|---|
{table_lines}

Trace and span ids are raw bytes; all zeros means none. `manifest.json` holds offsets, schema ids, versions,
SHA-256 of each file and the counts of the writers.

## Collection
All of it was taken from an event log. Windows are {_seconds(policy["size_us"])} long. Revision 0 holds what
was there {_seconds(policy["first_cut_us"])} after a window's end, and nothing that was measured of faults;
revision 1 exists where what came up to {_seconds(policy["final_cut_us"])} after the end changed anything.
Effects that were measured later make revisions of the labels alone, one in
{_seconds(policy["final_cut_us"])} at most. `final` marks the last revision. Rows with `late` true came after
the first cut. Records that came too late for any window, and refused ones, are left out and counted in the
ledger: read = in_windows + late + duplicate + dropped + rejected + unfinished.
{manifest.unfinished_windows} windows were not final when the run ended and are left out.

## Splits
One split, `train`: a run is a time series. Split it by time, never at random.

## Annotations
Two facts are kept apart, and neither filters the other. `in_force` is the share of a window in which a fault
with a severity was in force in this service, as the mechanism itself confirmed, seen or not. `visible` is the
share in which this service's own telemetry measurably left its normal; null while that is undecided.

A label names a fault that touches a window: its kind; the role of the service, `root_cause` (injected here),
`affected` (its telemetry measurably moved) or `exposed` (connected, and nothing was found); how it is
connected (`relation`, `hops`); the phase that takes the largest share; the share in force (`overlap`) and the
instances; the severity; what was measured here (`finding`, `visible`); and the other faults that explain the
same effect and can't be told apart (`shared_with`). `role` is the strongest of all labels of the window.

{RULE}

## Considerations
The load is synthetic and absolute latencies depend on the machine that the run took place on. Features hold
nothing about faults: take labels from `truth`, `role`, `in_force`, `visible` and `labels` only.

## License
None is given: it is for whoever publishes the run to choose one and put it into the first lines of this file.

## Citation
MicroServo, run {run_id}, content hash {manifest.content_hash}.
"""


def _tables(manifest: Manifest) -> list[FileEntry]:
    return [entry for entry in manifest.files if entry.rows is not None]


def _size(rows: int) -> str:
    place = sum(rows >= 1000 * 10**step for step in range(len(_SIZE_STEPS)))
    if place == 0:
        return f"n<{_SIZE_STEPS[0]}"
    if place == len(_SIZE_STEPS):
        return f"n>{_SIZE_STEPS[-1]}"
    return f"{_SIZE_STEPS[place - 1]}<n<{_SIZE_STEPS[place]}"


def _instant(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds")


def _seconds(us: int) -> str:
    return f"{us / 1e6:g} s"


def _words(text: str) -> str:
    """Text from outside that stays text in Markdown."""
    return escape(printable(text), quote=False)
