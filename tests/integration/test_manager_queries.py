"""A rule about a Prometheus query moves a container: asked of a real Prometheus."""

from __future__ import annotations

from pathlib import Path

import pytest
from managers import EUROPE, fleet
from real_prometheus import real_prometheus

from microservo.testing import MemoryBroker, eventually

pytestmark = pytest.mark.integration


def test_a_host_about_which_a_query_gives_an_alarm_is_relieved(tmp_path: Path) -> None:
    with real_prometheus(tmp_path / "prometheus") as prometheus, fleet(MemoryBroker()) as world:
        world.manager(prometheus=prometheus.url)
        manager = world.client.manager
        world.add_hosts("berlin", "madrid")
        world.add_service()
        (first,) = manager.launch("front", near=EUROPE, finish_s=60).containers
        assert world.running() == {first: "berlin"}
        alarm = 'label_replace(up{job="node"}, "host", "berlin", "", "")'
        manager.create("field/alarm", unit="1", query=alarm)
        manager.create("condition/alarm", field="alarm", operator=">", value=0.5)
        manager.create("rule/relieve", scope="host", generic=True, decision="overload", conditions=["alarm"])
        eventually(
            lambda: list(world.running().values()) == ["madrid"], timeout_s=120, what="the container to move"
        )
        moves = [each for each in manager.events() if each.rule == "relieve"]
        assert {tuple(each.fields) for each in moves} == {("alarm",)}
        assert {tuple(each.values) for each in moves} == {(1.0,)}, "with what the query gave as evidence"
