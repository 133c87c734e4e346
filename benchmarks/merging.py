"""Merging the features of several runs, and previews of them, beside DuckDB: `python -m benchmarks.merging`.

Seconds of processor, the least of several turns: what else the machine does changes them less than time.
What was decided by it: docs/decisions/0023-no-duckdb.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.command import run
from benchmarks.features import write_features
from benchmarks.figures import Figure, figure
from benchmarks.made_recording import make_dataset
from benchmarks.merging_ways import DUCKDB, OURS, WAYS
from benchmarks.processes import measure, own_python

COMMAND = "python -m benchmarks.merging"
_TIMEOUT_S = 300
_MIB = 2**20


def figures(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Processor and memory of each act, against DuckDB's."""
    for number in range(given.runs):
        dataset = folder / f"run-{number}"
        make_dataset(dataset, 200)
        # Each run has a feature more than the one before: no two have the same columns.
        write_features(dataset, given.windows, given.features + number)
    taken: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for _ in range(given.turns):
        for act in WAYS:
            for who in (OURS, DUCKDB):
                taken.setdefault((act, who), []).append(_done(act, who, folder))
    size = f"{given.runs} runs of {given.windows:,} windows with {given.features} features"
    for act in WAYS:
        for what, unit, scale in (
            ("cpu_s", "s of CPU", 1.0),
            ("cpu_with_libraries_s", "s of CPU", 1.0),
            ("peak_bytes", "MiB", _MIB),
        ):
            ours, theirs = (min(each[what] for each in taken[act, who]) / scale for who in (OURS, DUCKDB))
            name = {
                "cpu_s": act,
                "cpu_with_libraries_s": f"{act}, with its libraries",
                "peak_bytes": f"{act}, memory",
            }
            yield figure(f"{name[what]}; {size}", ours, unit, peer=DUCKDB, peer_value=theirs, command=COMMAND)


def _done(act: str, who: str, folder: Path) -> Mapping[str, float]:
    outcome = measure(own_python(), "benchmarks.merging_ways", act, who, str(folder), timeout_s=_TIMEOUT_S)
    if outcome.result is None:
        msg = f"{act} by {who} gave no result: {outcome.reason}"
        raise RuntimeError(msg)
    return outcome.result


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--runs", type=int, default=4, help="how many runs are merged")
    parser.add_argument("--windows", type=int, default=100_000, help="windows of each")
    parser.add_argument("--features", type=int, default=64, help="features of the first")
    parser.add_argument("--turns", type=int, default=3, help="how often each is measured")
    return run(parser, figures, name="merging", title="Merging and previews beside DuckDB")


if __name__ == "__main__":
    sys.exit(main())
