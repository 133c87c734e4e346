"""Lists by the catalogue behind a history of faults, and its rebuild: `python -m benchmarks.catalogue`."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from benchmarks.command import run
from benchmarks.fault_history import median_s, seconds, write_history
from benchmarks.figures import Figure, figure
from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.catalogue.database import open_engine
from microservo.catalogue.mapping import TOPICS
from microservo.catalogue.projection import rebuild
from microservo.catalogue.reading import Catalogue
from microservo.log.faults import all_latest_events, latest_events
from microservo.log.topics import topic_specs
from microservo.retry import retry
from schemas.catalogue import FAULT_EVENTS, FAULTS

COMMAND = "python -m benchmarks.catalogue"
FAULTS_BEFORE = (1_000, 10_000, 100_000)


def figures(broker: Broker, folder: Path, faults: int) -> Iterator[Figure]:
    """The figures of one length of history.

    Raises:
        RuntimeError: the catalogue gives no answer, or another one than the topics.
    """
    prefix, url = f"past-{faults}-", f"sqlite:///{folder / str(faults)}.sqlite"
    specs = [each for each in topic_specs(prefix=prefix) if each.name.removeprefix(prefix) in TOPICS]
    retry(lambda: broker.admin().ensure_topics(specs), timeout_s=120)
    write_history(broker, prefix, range(faults), linger_ms=20)
    engine = open_engine(url)
    rebuild_s = seconds(lambda: deque(rebuild(broker, engine, url, prefix), maxlen=0))
    scan_s = seconds(lambda: all_latest_events(broker, prefix + FAULT_EVENTS))
    yield figure(
        f"rebuild, {faults:,} past faults",
        rebuild_s,
        "s",
        peer="reading the events of faults",
        peer_value=scan_s,
        command=COMMAND,
    )
    catalogue = Catalogue(broker, engine, url, prefix)
    if catalogue.faults() != latest_events(broker, prefix + FAULTS):
        msg = "the catalogue does not answer as the topics do"
        raise RuntimeError(msg)
    yield figure(
        f"list faults, {faults:,} past ones",
        median_s(catalogue.faults),
        "s",
        peer="by the topic of states",
        peer_value=median_s(lambda: latest_events(broker, prefix + FAULTS)),
        command=COMMAND,
    )
    yield figure(
        f"look up one of {faults:,} past faults",
        median_s(lambda: catalogue.faults(history=True, fault_id="past-0")),
        "s",
        peer="by the whole history",
        peer_value=scan_s,
        command=COMMAND,
    )
    engine.dispose()


def _on_a_broker(folder: Path, given: argparse.Namespace) -> list[Figure]:
    with running_broker(folder / "broker") as process:
        broker = KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers))
        return [each for faults in given.faults for each in figures(broker, folder, faults)]


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument(
        "--faults", type=int, nargs="+", default=FAULTS_BEFORE, help="how many past faults, for each round"
    )
    return run(parser, _on_a_broker, name="catalogue", title="Lists by the catalogue behind a long history")


if __name__ == "__main__":
    sys.exit(main())
