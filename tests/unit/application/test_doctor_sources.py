"""`doctor` says how far each source of a running system has read."""

from __future__ import annotations

import os

import psutil
import pytest

from microservo.adapters.ports import free_ports
from microservo.application import machine
from microservo.application.command import Context
from microservo.application.machine import CheckMachine, check_machine
from microservo.errors import Unavailable
from microservo.runtime.health import HealthServer
from microservo.runtime.metrics import SOURCE_READ_UNTIL_SECONDS
from microservo.supervision.system_file import SystemFile

T_S = 1_769_860_832


def nobody() -> object:
    msg = "no broker"
    raise Unavailable(msg)


def test_how_far_each_source_has_read_is_shown_and_one_that_lags_or_has_read_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (nothing,) = free_ports(1)
    SOURCE_READ_UNTIL_SECONDS.labels("prometheus").set(T_S - 22)
    SOURCE_READ_UNTIL_SECONDS.labels("elastic").set(T_S - 600)
    with HealthServer(0, lambda: True) as health:
        ports = {"source-prometheus": health.port, "source-elastic": health.port, "source-kafka": nothing}
        system = SystemFile(
            name="lab",
            bootstrap_servers="x",
            topic_prefix="",
            run_id="run-1",
            pid=os.getpid(),
            created_at_s=psutil.Process().create_time(),
            target_state="",
            otlp_url="",
            log_dir="/logs",
            algorithms_dir="",
            ports={"otlp": 1, **ports},
        )
        monkeypatch.setattr(machine, "running_systems", lambda: [system])
        findings = check_machine(CheckMachine(), Context(nobody, clock=lambda: T_S * 1_000_000))  # type: ignore[arg-type]
    found = {each.what: each for each in findings if each.what.startswith("source ")}
    assert {what: (each.found, each.fine) for what, each in found.items()} == {
        "source prometheus of lab": ("read up to 22 s ago", True),
        "source elastic of lab": ("read up to 600 s ago", False),
        "source kafka of lab": ("nothing read yet", False),
    }
    assert "/logs/source-kafka.log" in found["source kafka of lab"].advice
