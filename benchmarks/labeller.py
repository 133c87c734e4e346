"""Our labeller as it is shipped, `python -m streams`, let loose on a full log."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

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
class Look:
    """What a labeller had done when it was looked at.

    Attributes:
        at_s: when, in seconds since 1970.
        messages: messages taken in, heartbeats included.
        cpu_s: processor time of the process since its start.
        rss_bytes: resident memory.
    """

    at_s: float
    messages: int
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What a run of the labeller came to.

    Attributes:
        messages_per_s: messages taken in per second, heartbeats included.
        cpu_s: processor time of the process between the first and the last message.
        cpu_us: the same for each message, in microseconds.
        halves: processor time of the second half of the messages by that of the first.
        windows: labelled windows on the topic, all revisions.
        peak_rss_bytes: largest resident memory seen.
    """

    messages_per_s: float
    cpu_s: float
    cpu_us: float
    halves: float
    elapsed_s: float
    windows: int
    peak_rss_bytes: int


def run_labeller(broker: Broker, bootstrap_servers: str, *, messages: int, log: Path) -> Labelled:
    """Runs the labeller over everything on the broker until its last window is written.

    Raises:
        RuntimeError: it stopped, or did not finish in time.
    """
    looks = list(watch_labeller(bootstrap_servers, messages=messages, log=log, timeout_s=_TIMEOUT_S))
    first, last = looks[0], looks[-1]
    if last.messages < messages:
        msg = f"the labeller took in {last.messages} of {messages} messages in {_TIMEOUT_S} s"
        raise RuntimeError(msg)
    windows, last_at_s = _outputs(broker)
    taken, elapsed_s, cpu_s = last.messages - first.messages, last_at_s - first.at_s, last.cpu_s - first.cpu_s
    return Labelled(
        messages_per_s=taken / elapsed_s,
        cpu_s=cpu_s,
        cpu_us=cpu_s / taken * 1e6,
        halves=halves(looks),
        elapsed_s=elapsed_s,
        windows=windows,
        peak_rss_bytes=max(each.rss_bytes for each in looks),
    )


def watch_labeller(bootstrap_servers: str, *, messages: int, log: Path, timeout_s: float) -> Iterator[Look]:
    """Starts a labeller in a group of its own and looks at it, from its first message on, until it has all.

    It is ended with the iteration. Where it does not get all in time, so does the iteration.

    Raises:
        RuntimeError: it stopped.
    """
    (port,) = free_ports(1)
    deadline_s, done = time.monotonic() + timeout_s, 0
    with _process(bootstrap_servers, port, log) as process:
        watched = psutil.Process(process.pid)
        while done < messages and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
            if process.poll() is not None:
                state = f"took in {done} of {messages} messages, exit code {process.returncode}"
                msg = f"the labeller {state}; its last words: {log.read_text('utf-8')[-500:]}"
                raise RuntimeError(msg)
            done = _taken(port)
            if done:
                yield Look(
                    at_s=time.time(),
                    messages=done,
                    cpu_s=sum(watched.cpu_times()[:2]),
                    rss_bytes=watched.memory_info().rss,
                )


def halves(looks: Sequence[Look]) -> float:
    """Processor time of the second half of the messages by that of the first."""
    first, last = looks[0], looks[-1]
    middle = (first.messages + last.messages) / 2
    before, after = next((a, b) for a, b in pairwise(looks) if a.messages <= middle <= b.messages)
    share = (middle - before.messages) / max(1, after.messages - before.messages)
    at_middle_s = before.cpu_s + share * (after.cpu_s - before.cpu_s)
    return (last.cpu_s - at_middle_s) / (at_middle_s - first.cpu_s)


@contextmanager
def _process(bootstrap_servers: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = child_environment(
        {
            "MICROSERVO_BOOTSTRAP_SERVERS": bootstrap_servers,
            "MICROSERVO_HEALTH_PORT": str(port),
            "MICROSERVO_STREAMS_GROUP": f"bench-{uuid4().hex[:8]}",
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
