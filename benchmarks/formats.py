"""Exports and imports of each format beside a plain copy of the same bytes: `python -m benchmarks.formats`.

The copy reads each file that was written and writes it again: CSV and Parquet as tables by pyarrow, others as
bytes. So both sides of a ratio have the same bytes to write, and the exporter has to make them first.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from benchmarks.command import run
from benchmarks.fault_history import seconds
from benchmarks.figures import Figure, figure
from benchmarks.made_recording import make_dataset, write_otlp
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.application.datasets import Imported
from microservo.client import Client
from microservo.datasets import export
from microservo.datasets.imports.staging import stage
from microservo.domain.datasets.formats import FORMATS
from microservo.domain.datasets.import_formats import IMPORT_FORMATS

COMMAND = "python -m benchmarks.formats"
_ROUNDS = 3
_MB = 1e6
_PEER = "plain copy by pyarrow"
_OTLP = "otlp-json"


def figures(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    """Of each format: its export, and where there is an importer, reading and importing it."""
    dataset = folder / "dataset"
    rows = make_dataset(dataset, given.seconds)
    exports = {}
    for name in FORMATS:
        out = folder / name
        yield from _exported(dataset, name, out, rows)
        exports[name] = out
    write_otlp(dataset, folder / _OTLP)
    exports[_OTLP] = folder / _OTLP
    recordings = {name: _recording(exports[name]) for name in IMPORT_FORMATS if name in exports}
    for name, recording in recordings.items():
        yield from _read(name, recording, folder)
    if given.without_broker:
        return
    with running_broker(folder / "broker") as process:
        broker = KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers))
        for name, recording in recordings.items():
            yield from _imported(broker, name, recording)


def _exported(dataset: Path, name: str, out: Path, rows: int) -> Iterator[Figure]:
    def once() -> None:
        shutil.rmtree(out, ignore_errors=True)
        export(dataset, format_name=name, out_dir=out, progress=lambda *_: None)

    once()
    export_s, copy_s = _least(once, partial(copy, out))
    yield from _figures(f"export {name}", _bytes(out), rows, export_s, copy_s)


def _read(name: str, recording: Path, folder: Path) -> Iterator[Figure]:
    records = 0

    def once() -> None:
        nonlocal records
        staged = stage(recording, name, folder / "minutes", progress=lambda *_: None)
        records = sum(each.records for each in staged)

    read_s, copy_s = _least(once, partial(copy, recording))
    yield from _figures(f"read {name}", _bytes(recording), records, read_s, copy_s)


def _imported(broker: KafkaBroker, name: str, recording: Path) -> Iterator[Figure]:
    with Client(broker=broker, topic_prefix=f"{name}-") as client:
        client.topics.ensure()
        found: list[Imported] = []

        def once() -> None:
            found.extend(client.datasets.import_recording(recording, format_name=name))

        import_s = seconds(once)
        copy_s = min(seconds(partial(copy, recording)) for _ in range(_ROUNDS))
    yield from _figures(
        f"import {name}", _bytes(recording), sum(each.records for each in found), import_s, copy_s
    )


def _figures(what: str, size_bytes: int, rows: int, ours_s: float, copy_s: float) -> Iterator[Figure]:
    size = f"{size_bytes / _MB:,.0f} MB"
    for unit, amount in (("MB/s", size_bytes / _MB), ("rows/s", float(rows))):
        yield figure(
            f"{what} ({size})" if unit == "MB/s" else what,
            amount / ours_s,
            unit,
            peer=_PEER,
            peer_value=amount / copy_s,
            command=COMMAND,
        )


def _least(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """The least seconds of each, in turns, so that what else the machine does meets both."""
    taken = [(seconds(ours), seconds(theirs)) for _ in range(_ROUNDS)]
    return min(each[0] for each in taken), min(each[1] for each in taken)


def copy(folder: Path) -> None:
    """Copies all files of a folder into one beside it, which is removed then."""
    out = folder.with_name(f"{folder.name}.copy")
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        _COPIES.get(path.suffix, _copy_bytes)(path, target)
    shutil.rmtree(out)


def _copy_csv(path: Path, target: Path) -> None:
    options = pc.ParseOptions(newlines_in_values=True)
    try:
        table = pc.read_csv(path, parse_options=options)
    except pa.ArrowInvalid:
        _copy_bytes(path, target)  # without a title, or without a row
        return
    pc.write_csv(table, target)


def _copy_parquet(path: Path, target: Path) -> None:
    pq.write_table(pq.read_table(path), target, compression="zstd")


def _copy_bytes(path: Path, target: Path) -> None:
    target.write_bytes(path.read_bytes())


_COPIES: dict[str, Callable[[Path, Path], None]] = {".csv": _copy_csv, ".parquet": _copy_parquet}


def _recording(folder: Path) -> Path:
    """What is one run: of RCAEval a case, of all others the whole."""
    cases = sorted(each.parent for each in folder.rglob("inject_time.txt"))
    return cases[0] if cases else folder


def _bytes(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--seconds", type=int, default=1800, help="how long the recording is")
    parser.add_argument(
        "--without-broker", action="store_true", help="leave out imports, which need one and take the longest"
    )
    return run(parser, figures, name="formats", title="Exports and imports beside a plain copy")


if __name__ == "__main__":
    sys.exit(main())
