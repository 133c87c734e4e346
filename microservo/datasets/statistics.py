"""A dataset in numbers, for those who choose one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from microservo.datasets.contents import contents_of
from microservo.datasets.facts import ledger_rows
from microservo.datasets.formats.fault_cases import FaultCases
from microservo.datasets.formats.reading import Tables
from microservo.datasets.timeline import rows_in_us
from microservo.domain.datasets.ledger import COUNTS
from microservo.domain.datasets.manifest import Manifest
from microservo.domain.datasets.shelf import Statistics
from microservo.errors import InvalidInput

_STEPS = (("none (0)", 0.0), ("low (to 0.33)", 0.33), ("middle (to 0.67)", 0.67), ("high (to 1)", 1.0))


def statistics_of(folder: Path) -> Statistics:
    """The numbers of a dataset; of several runs, those of all together.

    Raises:
        InvalidInput: the folder holds no dataset, or a table of it can't be read.
    """
    contents = contents_of(folder)
    try:
        runs = [_of_run(place, manifest) for place, manifest in contents.runs.items()]
    except OSError as error:
        msg = f"{folder} is damaged: {str(error).splitlines()[0]}; rebuild the dataset from the log"
        raise InvalidInput(msg) from error
    truths = _sum(run.truths for run in runs)
    judged = truths["anomalous"] + truths["normal"]
    ledger = _sum(run.ledger for run in runs)
    return Statistics(
        name=folder.resolve().name,
        run_ids=tuple(manifest.run.run_id for manifest in contents.runs.values()),
        target=", ".join(sorted({manifest.run.target for manifest in contents.runs.values()})),
        content_hash=contents.content_hash,
        duration_s=sum(run.duration_s for run in runs),
        services=_sorted(kind for _, kind in sorted({each for run in runs for each in run.services})),
        rows=dict(_sum(run.rows for run in runs)),
        faults=dict(sorted(_sum(run.faults for run in runs).items())),
        severities=dict(sorted(_sum(run.severities for run in runs).items())),
        prevalence=truths["anomalous"] / judged if judged else None,
        masked=truths["masked"] / truths.total() if truths.total() else None,
        ledger={name: ledger[name] for name in COUNTS},
    )


class _Run(NamedTuple):
    """What is counted in one run; services by name and kind."""

    duration_s: float
    services: set[tuple[str, str]]
    rows: Counter[str]
    truths: Counter[str]
    faults: Counter[str]
    severities: Counter[str]
    ledger: Counter[str]


def _of_run(folder: Path, manifest: Manifest) -> _Run:
    tables = Tables(folder)
    cases = FaultCases.of(tables)
    ledger: Counter[str] = Counter()
    for row in ledger_rows(folder / "ledger.parquet"):
        ledger.update({name: getattr(row, name) for name in COUNTS})
    services = rows_in_us(folder, "services.parquet", "service", "kind")
    return _Run(
        duration_s=(cases.until_us - cases.from_us) / 1e6,
        services={(row["service"], row["kind"]) for row in services},
        rows=Counter(
            {
                each.name.removesuffix(".parquet"): each.rows
                for each in manifest.files
                if each.rows is not None
            }
        ),
        truths=_counted(tables.table("windows.parquet", "truth").column(0)),
        faults=Counter(case.kind for case in cases.cases),
        severities=Counter(_step(case.severity) for case in cases.cases),
        ledger=ledger,
    )


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in counters:
        found.update(each)
    return found


def _counted(column: object) -> Counter[str]:
    counts = pc.value_counts(column).to_pylist()
    return Counter({each["values"]: each["counts"] for each in counts})


def _sorted(texts: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(texts).items()))


def _step(severity: float | None) -> str:
    if severity is None:
        return "not known"
    return next(name for name, most in _STEPS if severity <= most or most == 1.0)
