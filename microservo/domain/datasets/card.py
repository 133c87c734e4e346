"""The dataset card: `README.md` with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from microservo.domain.datasets.manifest import FileEntry, Manifest
from microservo.domain.faults.kinds import shipped_names
from microservo.domain.text import printable
from microservo.domain.truth import RULE

_SIZE_STEPS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
"""Ends of the size categories that the hub knows; each is ten times the one before."""
_TABLES = {
    "features": "start here: a window of a service, with its truth, split, and a column for each feature",
    "services": "a service: when it was there, what it said of itself, whom it calls, what struck it",
    "windows": "a window of a service, final, with its truth, strongest label, and features as lists",
    "window_revisions": "a revision of a window; features stand there where they differ from the final ones",
    "labels": "a fault that touches a window, as of a revision",
    "effects": "a fault at a service that it may reach: whether that was affected, when, by what evidence",
    "effect_intervals": "an interval in which the telemetry of a service left its normal by a fault",
    "metrics": "a metric point",
    "logs": "a log line with its template",
    "traces": "a span; `time` is its end",
    "faults": "a fault on an instance, with its measured times, parameters and verdict",
    "fault_events": "a version of a row of `faults`: the story of every fault",
    "actions": "an act of placement: who wanted it and why, from where to where, when, cost, requests lost",
    "scores": "what each algorithm said of each window, while the run went on",
    "graph": "who called whom, per interval, and what the callee is",
    "instances": "what each instance said of itself: what it is, version, host, container, scopes",
    "ledger": "where every record went, per source, service and minute",
}

_CODES = {
    "`truth`": "anomalous, masked, normal: by the rule below",
    "`role`": "root_cause: injected here; affected: its telemetry measurably moved; exposed: connected, and "
    "nothing was found",
    "`relation`": "root; caller: depends on the root; callee: it or a caller of it calls this one; user: the "
    "load generator; neighbour: on the same host",
    "`finding`": "undecided: not judged yet; visible; not_visible; inconclusive: too little",
    "`phase`": "applying, active, recovering, after_effect",
    "`verdict`": "pending; confirmed: by an effect that is this fault's alone; ineffective: enough to see, "
    "and nothing moved; inconclusive",
    "`severity` of faults, labels": "0 (a control that harms nothing) to 1 (total), by the parameters",
    "`severity` of `logs`": "OpenTelemetry's number: 1 to 4 trace, 5 to 8 debug, 9 to 12 info, 13 to 16 "
    "warn, 17 to 20 error, 21 to 24 fatal",
    "`kind` of `traces`": "internal, server, client, producer, consumer",
    "`protocol` of `traces`": "http, rpc, messaging, database",
    "`what` of `actions`": "launch, replicate (one more), move (launched there, then stopped here), stop, "
    "recover (launched again after one ended)",
    "`origin` of `actions`": "command: of a person or program; rule; policy; duty: what managers do under "
    "every rule, as to keep a minimum",
    "`outcome` of `actions`": "open, done, failed",
    "`service_kind`, `kind` of `instances`": "service, host, load_generator",
    "`kind` of `faults`, `fault_kind`": ", ".join(shipped_names()) + "; declared ones may have others",
}
"""What the words and numbers in columns mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFiles:
    """Where the tables of a card are.

    Attributes:
        paths: of each table with rows, the file of each split.
        splits: what the splits are, in a sentence or two.
        has_report: whether `report.html` is there, too.
    """

    paths: Mapping[str, Mapping[str, str]]
    splits: str
    has_report: bool


def dataset_card(manifest: Manifest, files: CardFiles | None = None) -> str:
    """The text of `README.md`; it says nothing about the machine or the time of the build.

    Args:
        manifest: of the dataset.
        files: where its tables are; by default one file each, beside the card, with the report.
    """
    if files is None:
        files = CardFiles(
            paths={_config(each): {"train": each.name} for each in _tables(manifest) if each.rows},
            splits=_splits(manifest),
            has_report=True,
        )
    return f"{_front_matter(manifest, files)}\n{_body(manifest, files)}"


def _front_matter(manifest: Manifest, files: CardFiles) -> str:
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
    first = "features" if "features" in files.paths else "windows"
    # A split without rows can't be loaded: it is left out.
    for name, paths in files.paths.items():
        lines += [f"  - config_name: {name}"] + ["    default: true"] * (name == first)
        lines += ["    data_files:"]
        for split, path in paths.items():
            lines += [f"      - split: {split}", f"        path: {path}"]
    return "\n".join([*lines, "---", ""])


def _body(manifest: Manifest, files: CardFiles) -> str:
    run, policy = manifest.run, manifest.policy
    run_id, target = _words(run.run_id), _words(run.target)
    table_lines = "\n".join(
        f"| {_paths(entry, files)} | {_TABLES[_config(entry)]} | {entry.rows} |"
        for entry in _tables(manifest)
    )
    code_lines = "\n".join(f"| {column} | {values} |" for column, values in _CODES.items())
    circumstances = "\n".join(f"- {line}" for line in _circumstances(manifest))
    report = "`report.html` shows the run.\n" * files.has_report
    experiment = (
        "`experiment.json` holds target, load, versions, machines, seed, and the parameters of every fault.\n"
        if manifest.file("experiment.json") and files.has_report
        else ""
    )
    start = f"\n{_start(manifest)}\n" if "features" in files.paths else ""
    return f"""# MicroServo run {run_id}

## Summary
Telemetry of the target system **{target}** under load, with faults injected into it and every window
labelled with what was really wrong. Started {_instant(run.started_at_us)}, seed {run.seed}, status
{run.status}. Content hash `{manifest.content_hash}`: anyone who rebuilds the run from the log gets the same.
{report}{start}
## Structure
Canonical Parquet (zstd), instants in UTC microseconds. Rows of `metrics`, `logs` and `traces` lie window by
window, as those of `windows` do: sorted by start of their window, service, time and then by all else.

| file | one row is | rows |
|---|---|---|
{table_lines}

Nothing is a map: in `windows`, features are two lists of equal length, `feature_names` and `feature_values`,
and parameters are JSON text. In `features` each has a column of its own, NaN where the window has none. Null
means that something is not known or not there; zero means zero. A feature is NaN where it is undefined, as
the latency of no request. Ids of traces and spans are hexadecimal text.

| column | values |
|---|---|
{code_lines}

{experiment}`manifest.json` holds the facts of the run (machines, load, topology, plan), offsets, schema ids,
versions, SHA-256 of each file and the counts of the writers.

## Collection
All of it was taken from an event log. Windows are {_seconds(policy["size_us"])} long. Revision 0 holds what
was there {_seconds(policy["first_cut_us"])} after a window's end, and nothing that was measured of faults;
revision 1 exists where what came up to {_seconds(policy["final_cut_us"])} after the end changed anything.
Effects that were measured later make revisions of the labels alone, one in
{_seconds(policy["final_cut_us"])} at most. `windows` holds the last revision of each, `window_revisions`
all of them, with features only where they differ from the last ones; detectors scored revision 0. A
service whose telemetry comes later than that is waited for longer, by `delay_us`. Rows with `late` true came
after the first cut. Records that came too late for any window, and refused ones, are left out and counted
in the ledger: read = in_windows + late + duplicate + dropped + rejected + unfinished. `lost` was
taken away by faults on telemetry before it could be read, and is in none of these.
{manifest.unfinished_windows} windows were not final when the run ended and are left out.

## Splits
{files.splits}

## Annotations
Two facts are kept apart, and neither filters the other. `in_force` is the share of a window in which a fault
with a severity was in force in this service, as the mechanism itself confirmed, seen or not. `visible` is the
share in which this service's own telemetry measurably left its normal; null while that is undecided.

A label names a fault that touches a window: its kind; the role of the service; how it is connected to the
root (`relation`, `hops`); the phase that takes the largest share; the share in force (`overlap`) and the
instances; the severity; what was measured here (`finding`, `visible`); and the other faults that explain the
same effect and can't be told apart (`shared_with`). `role` of a window is the strongest of its labels.

{RULE}

Of a window with several faults, the flat columns of `windows` (`fault_id`, `fault_kind`, `overlap`, ...)
are those of the strongest label: the strongest role, then the longest effect, then the most in force;
`labels` has all of them. `effects` says for each fault and service what was measured, by which series, how
large, on how many samples and how probable without a fault. Each of the seven times of a fault has a column
`..._within_us` that says how exact it is: 1 is a reading of a clock, null that it is not known.

What a manager did meanwhile is no fault and decides no truth: `actions` of a window has the `decision_id` of
each act of placement on its service that overlaps it, from `begun_at` to `ended_at`, as known at its last
revision; the table `actions` has all of them as told last, none where no manager took part. `cost_host_s` is
for how long a host held a container beside those that were wanted; `requests_lost` is null where nobody
counted.

## Circumstances
{circumstances}

## Considerations
The load is synthetic and absolute latencies depend on the machine that the run took place on. Features hold
nothing about faults: take labels from the other columns of `windows`, from `labels` and from `effects` only.

## License
None is given: it is for whoever publishes the run to choose one and put it into the first lines of this file.

## Citation
MicroServo, run {run_id}, content hash {manifest.content_hash}.
"""


def _start(manifest: Manifest) -> str:
    """A program of a few lines that trains and scores on what people load first."""
    tested = "train" if manifest.test_from_us is None else "test"
    note = (
        "No instant parts the faults of this run in two, so it is tested on what it has learned from:\n"
        "the number is no result.\n"
        if manifest.test_from_us is None
        else ""
    )
    return f"""## Start here
Trains an isolation forest on the normal windows of `train`, and scores those of `{tested}` (pandas and
scikit-learn, in this folder). {note}
```python
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score

rows = pd.read_parquet("features.parquet")
rows = rows[(rows["service_kind"] == "service") & (rows["truth"] != "masked")]
train = rows[(rows["split"] == "train") & (rows["truth"] == "normal")]
test = rows[(rows["split"] == "{tested}") & rows["service"].isin(train["service"])]
names = [name for name in rows if name.startswith(("request/*/", "call/*/", "log/severity/"))]
normal = train.groupby("service")[names]
mean, std = normal.mean(), normal.std() + 1e-3
def scaled(part):
    return ((part[names] - mean.loc[part["service"]].values) / std.loc[part["service"]].values).fillna(0)
forest = IsolationForest(random_state=0).fit(scaled(train))
print(average_precision_score(test["truth"] == "anomalous", -forest.score_samples(scaled(test))))
```"""


def _splits(manifest: Manifest) -> str:
    whole = "As files there is one split, `train`: a run is a time series. Split it by time, never at random."
    if manifest.file("features.parquet") is None:
        return whole
    if manifest.test_from_us is None:
        return f"{whole} In\n`features`, `split` is `train` everywhere: no instant parts the faults in two."
    return (
        f"{whole} In\n`features`, `split` is `train` before {manifest.test_from_us} (microseconds UTC) and "
        "`test` from then on:\nno fault was in force or visible on both sides. It is null where a fault of "
        "the other side touches a window,\nas its after-effect does: no fault is in both."
    )


def _circumstances(manifest: Manifest) -> Iterator[str]:
    run = manifest.run
    if manifest.range_us is not None:
        first, end = map(_instant, manifest.range_us)
        yield f"an excerpt: what lies between {first} and {end}; faults that overlap it are whole"
    for each in run.machines:
        yield (
            f"machine {each.host_hash}: {_words(each.cpu_model)}, {each.cpus} processors, "
            f"{each.memory_bytes / 2**30:.1f} GiB, {_words(each.system)} {_words(each.kernel)} "
            f"{_words(each.architecture)}, Python {_words(each.python)}, clock from "
            f"{_words(each.clock_source) or 'an unknown source'}, exact to {each.clock_resolution_ns} ns"
        )
    for load in run.loads:
        yield (
            f"load: {load.journeys_per_s:g} journeys/s on the average, seed {load.seed}, moving by "
            f"{load.amplitude:.0%} over {load.period_s:g} s, with noise of {load.noise:g} every "
            f"{load.noise_s:g} s"
        )
    yield f"topics of {run.partitions} partitions"
    if run.topology_sha256:
        yield f"SHA-256 of the topology file: {run.topology_sha256}"
    if run.plan:
        yield f"{len(run.plan)} faults were planned; `manifest.json` lists them"
    if run.clock_moved_us is not None:
        yield f"the wall clock moved by {run.clock_moved_us / 1000:g} ms against one that nobody sets"


def _config(entry: FileEntry) -> str:
    return entry.name.removesuffix(".parquet")


def _paths(entry: FileEntry, files: CardFiles) -> str:
    """The files of a table; its own name where it has no rows, and so perhaps no file."""
    return ", ".join(f"`{path}`" for path in files.paths.get(_config(entry), {"train": entry.name}).values())


def _tables(manifest: Manifest) -> list[FileEntry]:
    """The tables, what is read first in front."""
    found = {entry.name.removesuffix(".parquet"): entry for entry in manifest.files if entry.rows is not None}
    return [found[name] for name in _TABLES if name in found]


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
