"""A dataset in numbers, for those who choose one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow.compute as pc

from microservo.datasets.facts import ledger_rows
from microservo.datasets.formats.fault_cases import FaultCases
from microservo.datasets.formats.reading import Tables
from microservo.datasets.timeline import rows_in_us
from microservo.datasets.verifying import read_manifest
from microservo.domain.datasets.ledger import COUNTS
from microservo.domain.datasets.shelf import Statistics
from microservo.errors import InvalidInput

_STEPS = (("none (0)", 0.0), ("low (to 0.33)", 0.33), ("middle (to 0.67)", 0.67), ("high (to 1)", 1.0))


def statistics_of(folder: Path) -> Statistics:
    """The numbers of a dataset.

    Raises:
        InvalidInput: the folder holds no dataset, or a table of it can't be read.
    """
    manifest = read_manifest(folder)
    tables = Tables(folder)
    truths = _counted(tables.table("windows.parquet", "truth").column(0))
    cases = FaultCases.of(tables)
    judged = truths["anomalous"] + truths["normal"]
    try:
        services = Counter(row["kind"] for row in rows_in_us(folder, "services.parquet", "kind"))
        ledger = dict.fromkeys(COUNTS, 0)
        for row in ledger_rows(folder / "ledger.parquet"):
            for name in COUNTS:
                ledger[name] += getattr(row, name)
    except OSError as error:
        msg = f"{folder} is damaged: {str(error).splitlines()[0]}; rebuild the dataset from the log"
        raise InvalidInput(msg) from error
    return Statistics(
        name=folder.resolve().name,
        run_id=manifest.run.run_id,
        target=manifest.run.target,
        content_hash=manifest.content_hash,
        duration_s=(cases.until_us - cases.from_us) / 1e6,
        services=dict(sorted(services.items())),
        rows={
            entry.name.removesuffix(".parquet"): entry.rows
            for entry in manifest.files
            if entry.rows is not None
        },
        faults=_sorted(case.kind for case in cases.cases),
        severities=_sorted(_step(case.severity) for case in cases.cases),
        prevalence=truths["anomalous"] / judged if judged else None,
        masked=truths["masked"] / truths.total() if truths.total() else None,
        ledger=ledger,
    )


def _counted(column: object) -> Counter[str]:
    counts = pc.value_counts(column).to_pylist()
    return Counter({each["values"]: each["counts"] for each in counts})


def _sorted(texts: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(texts).items()))


def _step(severity: float | None) -> str:
    if severity is None:
        return "not known"
    return next(name for name, most in _STEPS if severity <= most or most == 1.0)
