"""Our labeller as it is shipped, `python -m streams`, let loose on a full log."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from microservo.adapters.broker import Broker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import child_environment
from microservo.log.ranges import read_ranges
from schemas.catalogue import LABELLED_WINDOWS

_COUNTER = 'microservo_messages_total{outcome="in",service="streams"'
_TIMEOUT_S = 120
_LOOK_S = 0.5
"""Not oftener: rendering the metrics takes time from what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What a run of the labeller came to.

    Attributes:
        messages_per_s: messages taken in per second, heartbeats included.
        cpu_s: processor time of the process between the first and the last message.
        windows: labelled windows written, all revisions.
        peak_rss_bytes: largest resident memory seen.
    """

    messages_per_s: float
    cpu_s: float
    elapsed_s: float
    windows: int
    peak_rss_bytes: int


def run_labeller(broker: Broker, bootstrap_servers: str, *, messages: int, log: Path) -> Labelled:
    """Runs the labeller over everything on the broker until its last window is written.

    Raises:
        RuntimeError: it stopped, or did not finish in time.
    """
    (port,) = free_ports(1)
    with _process(bootstrap_servers, port, log) as process:
        watched = psutil.Process(process.pid)
        started, done = None, 0
        peak_rss = 0
        deadline = time.monotonic() + _TIMEOUT_S
        while done < messages:
            if process.poll() is not None or time.monotonic() > deadline:
                state = f"took in {done} of {messages} messages, exit code {process.poll()}"
                msg = f"the labeller {state}; its last words: {log.read_text('utf-8')[-500:]}"
                raise RuntimeError(msg)
            time.sleep(_LOOK_S)
            done = _taken(port)
            peak_rss = max(peak_rss, watched.memory_info().rss)
            if started is None and done:
                started = (time.time(), done, sum(watched.cpu_times()[:2]))
        cpu_s = sum(watched.cpu_times()[:2])
        assert started is not None
        windows, last_at_s = _outputs(broker)
        elapsed_s = last_at_s - started[0]
        return Labelled(
            messages_per_s=(done - started[1]) / elapsed_s,
            cpu_s=cpu_s - started[2],
            elapsed_s=elapsed_s,
            windows=windows,
            peak_rss_bytes=peak_rss,
        )


@contextmanager
def _process(bootstrap_servers: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = child_environment(
        {
            "MICROSERVO_BOOTSTRAP_SERVERS": bootstrap_servers,
            "MICROSERVO_HEALTH_PORT": str(port),
        }
    )
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "streams"], env=environment, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _taken(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(_COUNTER))


def _outputs(broker: Broker) -> tuple[int, float]:
    """How many labelled windows there are, and when the last was written, in seconds since 1970."""
    with broker.consumer(group_id=None) as consumer:
        ranges = {each: consumer.offset_range(each) for each in consumer.partitions(LABELLED_WINDOWS)}
        written_us = [each.timestamp_us for each in read_ranges(consumer, ranges) if each.value is not None]
    return len(written_us), max(written_us) / 1e6
