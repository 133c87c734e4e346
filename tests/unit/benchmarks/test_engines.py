"""A peer that stalls gets a second run, and one that gives no result is never passed over in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import engines
from benchmarks.engines import Engines
from benchmarks.processes import Outcome
from microservo.testing import MemoryBroker

STALLED = Outcome(result=None, reason="it printed no result")
DONE = Outcome(result={"records": 100.0, "elapsed_s": 2.0})


class Loaded:
    records, messages, json_records = 100, 1, 100


def peers(monkeypatch: pytest.MonkeyPatch, outcomes: list[Outcome]) -> tuple[Engines, list[Any]]:
    """The engines, and what each of the three peers gave where the processes end like this."""
    loaded: Any = Loaded()
    found = Engines(MemoryBroker(), "", loaded, Path(), lambda _: None)
    monkeypatch.setattr(engines, "measure", lambda *_, **_options: outcomes.pop(0))
    monkeypatch.setattr(engines, "peers_python", Path)
    return found, list(found._peers())


def test_a_peer_that_stalls_once_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found, rates = peers(monkeypatch, [STALLED, DONE, DONE, DONE])
    assert [rate for _, _, rate in rates] == [50.0, 50.0, 50.0]
    assert found.failures == []


def test_a_peer_without_a_result_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    found, rates = peers(monkeypatch, [STALLED, STALLED, DONE, DONE])
    assert [rate for _, _, rate in rates] == [None, 50.0, 50.0]
    assert found.failures == ["Faust, tumbling table: it printed no result"]
