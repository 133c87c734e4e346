"""What labelling costs, and whether cold starts get going: `python -m benchmarks.labelling`, ten minutes.

The stream of `make bench` with full messages and with such as a live system sends, each on a broker of its
own: processor time for a million records, that of the second half of the messages against the first (what
grows with a run would show), and starts of labellers in new groups, each of which must get every message.

Processor time is that between the first message and the last, all of a process's threads; a machine that is
busy with other things changes it by some percent, and the rates far more, so no rate is shown.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from benchmarks.labeller import Look, halves, watch_labeller
from benchmarks.load import Loaded, create_topics, load
from benchmarks.stream import RECORDS, US, Plan
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker

COMMAND = "python -m benchmarks.labelling"
_ASKED = {RECORDS: 1.2, 10: 6.7}
"""By records a message: seconds for a million of them. With 10, 150,000 a second of a processor."""
_ASKED_HALVES = 1.05
_RUN_S = 300.0
_START_S = 60.0
_COLD_SECONDS = 20


def _figures(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    for records, asked in _ASKED.items():
        with running_broker(folder / f"broker-{records}") as process:
            loaded = _loaded(process.bootstrap_servers, records, given.seconds)
            runs = [_complete(folder, process.bootstrap_servers, loaded.messages) for _ in range(given.turns)]
        title = f"labeller, {records} records a message"
        yield figure(
            f"{title}, CPU for a million records",
            median(_cost(looks, loaded) for looks in runs),
            "s",
            peer="asked for",
            peer_value=asked,
            command=COMMAND,
        )
        yield figure(
            f"{title}, CPU of the second half by that of the first",
            median(map(halves, runs)),
            "",
            peer="asked for",
            peer_value=_ASKED_HALVES,
            command=COMMAND,
        )
    yield _cold_starts(folder, given.starts)


def _cold_starts(folder: Path, starts: int) -> Figure:
    with running_broker(folder / "broker-cold") as process:
        loaded = _loaded(process.bootstrap_servers, RECORDS, _COLD_SECONDS)
        complete = 0
        for number in range(starts):
            looks = _looks(folder, process.bootstrap_servers, loaded.messages, _START_S)
            taken = looks[-1].messages if looks else 0
            complete += taken >= loaded.messages
            if taken < loaded.messages:
                print(f"start {number} took {taken} of {loaded.messages} messages", file=sys.stderr)
    return figure(
        "cold starts of a labeller that got every message",
        complete,
        "",
        peer="started",
        peer_value=starts,
        command=COMMAND,
    )


def _loaded(bootstrap_servers: str, records: int, seconds: int) -> Loaded:
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=bootstrap_servers))
    create_topics(broker)
    start_us = (int(time.time()) - seconds) // 10 * 10 * US
    return load(broker, Plan(records=records, seconds=seconds, start_us=start_us), json_records=0)


def _complete(folder: Path, bootstrap_servers: str, messages: int) -> list[Look]:
    looks = _looks(folder, bootstrap_servers, messages, _RUN_S)
    if not looks or looks[-1].messages < messages:
        msg = f"the labeller did not take {messages} messages in {_RUN_S:g} s"
        raise RuntimeError(msg)
    return looks


_numbers = itertools.count()


def _looks(folder: Path, bootstrap_servers: str, messages: int, timeout_s: float) -> list[Look]:
    log = folder / f"labeller-{next(_numbers)}.log"
    return list(watch_labeller(bootstrap_servers, messages=messages, log=log, timeout_s=timeout_s))


def _cost(looks: list[Look], loaded: Loaded) -> float:
    records = (looks[-1].messages - looks[0].messages) * loaded.records / loaded.messages
    return (looks[-1].cpu_s - looks[0].cpu_s) / records * 1e6


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=500, help="event time of each stream; 80 messages each"
    )
    parser.add_argument("--turns", type=int, default=3, help="runs over each stream, whose median is shown")
    parser.add_argument("--starts", type=int, default=24, help="cold starts")
    return run(parser, _figures, name="labelling", title="What labelling costs")


if __name__ == "__main__":
    sys.exit(main())
