"""Three regions on one machine: demand moves from Europe to Asia, and the services follow by a rule."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path

import pytest

from microservo.application.progress import SILENT
from microservo.domain.geography import travel_time_s
from microservo.system.follow_the_sun import BERLIN, RULE, TOKYO, TOPOLOGY, FollowTheSun
from microservo.system.options import SystemOptions
from microservo.system.regional import RegionalSystem

pytestmark = pytest.mark.integration


def test_services_follow_demand_to_asia_and_users_wait_less(
    kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    options = SystemOptions(
        name=f"sun-{uuid.uuid4().hex[:8]}",
        bootstrap_servers=kafka_bootstrap_servers,
        topic_prefix=topic_prefix,
        topology=str(TOPOLOGY),
        journeys_per_s=4.0,
        partitions=2,
    )
    with RegionalSystem(options, SILENT) as system:
        system.start(BERLIN.coordinates)
        result = FollowTheSun(system, SILENT, steady_s=10.0).run()
    there_and_back_ms = 2e3 * travel_time_s(BERLIN.coordinates, TOKYO.coordinates)
    assert there_and_back_ms > 80
    quickest = partial(result.waits.quantile_ms, 0.1)
    # A busy machine makes any wait longer, and none shorter than light needs.
    assert quickest(result.moved_us, result.first_us) >= there_and_back_ms
    assert quickest(result.began_us, result.moved_us) < there_and_back_ms
    assert quickest(result.followed_us, result.ended_us) < there_and_back_ms
    assert result.after_ms < result.away_ms
    moves = {each.service: (each.to_host, each.rule) for each in result.events if each.action == "migrate"}
    assert moves == dict.fromkeys(("front", "catalogue"), (TOKYO.name, RULE))
    # The database goes where the service that needs it goes.
    assert {each.to_host for each in result.events if each.service == "store" and each.to_host} == {
        TOKYO.name
    }
    assert dict(result.replicas[-1].by_region) == {TOKYO.region_name: 3}
