"""What sidecars count by place is told a registry once, whatever becomes of the sidecars."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from microservo.client.registry import RegistryClient
from microservo.domain.geography import Coordinates
from microservo.platforms.local.commands import new_instance
from microservo.platforms.local.state import Loadgen, TargetState, write_state
from services.launcher import demand
from services.launcher.demand import Demand

BERLIN = ("52.5", "13.4")


class Told(RegistryClient):
    """A registry's client that only remembers."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.reports: list[tuple[str, Coordinates | None, int]] = []

    def report(self, service: str, place: Coordinates | None = None, requests: int = 1) -> None:
        self.reports.append((service, place, requests))


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    instance = replace(new_instance("cart", "cart-1", (1, 2, 3, 4)), sidecar_pid=7)
    write_state(
        tmp_path / "target.json",
        TargetState(
            topology="one",
            updated_at_us=1,
            edges=(),
            instances=(instance,),
            loadgen=Loadgen(pid=None, control_url=""),
            control_token="secret",
        ),
    )
    return tmp_path / "target.json"


def test_each_request_is_told_once_also_past_silence_and_a_new_start(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Counts of a sidecar that is silent at the third look, and started anew before the fifth.
    counts = iter([3, 5, 0, 9, 2])
    monkeypatch.setattr(
        demand, "counted", lambda *_: Counter({BERLIN: count}) if (count := next(counts)) else Counter()
    )
    registry = Told()
    looking = Demand(state_file, registry)
    for _ in range(5):
        looking.look()
    place = Coordinates(52.5, 13.4)
    assert registry.reports == [("cart", place, requests) for requests in (3, 2, 4, 2)]


def test_without_a_target_there_is_nothing_to_tell(tmp_path: Path) -> None:
    registry = Told()
    Demand(tmp_path / "target.json", registry).look()
    assert registry.reports == []
