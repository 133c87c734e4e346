"""Where and with what it was measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.load import Loaded
from benchmarks.stream import Plan
from microservo.adapters.machine import cpu_model

_PACKAGES = ("microservo", "faust-streaming", "confluent-kafka", "fastavro", "numpy", "pyarrow")
_PEERS = Path(__file__).parent / "peers" / "requirements.txt"


def facts(loaded: Loaded, plan: Plan, took_s: float, load_before: float) -> list[str]:
    """One line each: when, machine, versions, stream; `load_before` is the load average at the start."""
    json_bytes = loaded.json_bytes / max(loaded.json_records, 1)
    peers = [line.partition(";")[0] for line in _PEERS.read_text("utf-8").splitlines() if line[:1].isalpha()]
    return [
        time_fact(took_s, load_before),
        *machine_facts(),
        f"peers: {', '.join(peers)}",
        f"stream: seed {plan.seed}, {loaded.records} records of {plan.services} services over "
        f"{plan.seconds} s of event time, in {loaded.messages} messages ({loaded.heartbeats} heartbeats); "
        f"the first {loaded.json_records} also as JSON, {json_bytes:.0f} bytes each",
        "a peer stops after its JSON records or 25 s, whichever comes first",
    ]


def time_fact(took_s: float, load_before: float) -> str:
    """When it was measured, and how busy the machine was before."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {took_s:.0f} s in all, "
        f"load average before it {load_before:.1f}"
    )


def machine_facts() -> list[str]:
    """One line each: machine, versions."""
    memory_gib = psutil.virtual_memory().total / 2**30
    ours = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [
        f"{cpu_model()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.platform(terse=True)}",
        f"Python {platform.python_version()}, Apache Kafka 4.3.0 on the same machine; {ours}",
    ]
