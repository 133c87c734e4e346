"""`python -m benchmarks`: one broker, one stream, every engine one after another, one table."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.engines import Engines
from benchmarks.facts import facts
from benchmarks.figures import show, write
from benchmarks.live import live_figures
from benchmarks.load import create_topics, load
from benchmarks.processes import ROOT
from benchmarks.stream import US, Plan
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker

_JSON_RECORDS = 400_000


def main() -> int:
    """Measures, prints the table and writes `latest.json` and `latest.md`; a missing result is a failure."""
    arguments = _arguments()
    # As Ctrl-C does, so that no broker is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    plan = Plan(seed=arguments.seed, seconds=arguments.seconds, start_us=_start_us(arguments.seconds))
    started_s, load_before = time.monotonic(), os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as scratch,
        console.status("starting the broker") as status,
        running_broker(Path(scratch) / "broker") as process,
    ):
        broker = KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers))
        create_topics(broker)
        status.update("writing the stream")
        loaded = load(broker, plan, json_records=_JSON_RECORDS)
        engines = Engines(broker, process.bootstrap_servers, loaded, Path(scratch), status.update)
        figures = [*engines.labeller(), *engines.rebuild()]
    figures += live_figures(arguments.system)
    console.print(*engines.remarks, sep="\n")
    show(figures, console)
    if engines.failures:
        # A table with holes must not stand in the place of a whole one.
        print(*(f"no result: {each}" for each in engines.failures), sep="\n", file=sys.stderr)
        print("nothing was written; run it again when that is mended", file=sys.stderr)
        return 1
    write(figures, facts(loaded, plan, time.monotonic() - started_s, load_before), arguments.out)
    console.print(f"written to {arguments.out}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="seed of the stream")
    parser.add_argument(
        "--seconds", type=int, default=500, help="event time of the stream; 8000 records each"
    )
    parser.add_argument("--system", default="default", help="running system to read latencies from")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder to write to"
    )
    return parser.parse_args()


def _start_us(seconds: int) -> int:
    """Such that the stream ends about now: some engines compare event time with the wall clock."""
    start_s = int(time.time()) - seconds
    return (start_s - start_s % 10) * US


if __name__ == "__main__":
    sys.exit(main())
