"""What a manager was told, told again."""

from __future__ import annotations

import pytest

from microservo.domain.geography import SEVEN_REGIONS
from microservo.domain.manager import events
from microservo.domain.manager.decide import decide
from microservo.domain.manager.entities import Host
from microservo.domain.manager.journal import event_of, input_of
from microservo.domain.manager.simulation import Demand, Origin, World, fleet
from microservo.domain.manager.state import SystemState
from microservo.errors import InvalidInput
from schemas.records import ControlCommand

CENTRES = [region.centre for region in SEVEN_REGIONS]


def lived_world() -> World:
    """One with demand, a command, failures: nearly every kind of event."""
    origins: dict[str, tuple[Origin, ...]] = {
        f"s-{number}": (Origin(place=CENTRES[number], requests_per_s=4000.0),) for number in range(4)
    }
    made = World(
        fleet(hosts=14, services=4, containers=20, seed=3, minimum_replicas=2), demand=Demand(origins=origins)
    )
    made.run(20)
    made.kill(min(made.running))
    command = ControlCommand(
        command_id="c-1",
        entity="service/s-0",
        action="launch",
        requested_at_us=made.now_us,
        requested_by="ana",
        arguments={"latitude": "50", "longitude": "10"},
        document="",
    )
    made.tell(events.CommandGiven(now_us=made.now_us, command=command))
    made.tell(events.ServicesScored(now_us=made.now_us, field="anomaly-score/a", by_service={"s-1": 3.5}))
    made.tell(events.Heartbeat(now_us=made.now_us, name="w", running=frozenset({"b", "a"})))
    made.fail([min(made.state.hosts)])
    made.run(20)
    return made


def test_told_again_from_the_journal_a_manager_decides_the_same_to_the_last_byte() -> None:
    made = lived_world()
    journal = [(*input_of(event), event.now_us) for event in made.events]
    assert len({kind for kind, _, _ in journal}) >= 10
    state = SystemState()
    again = [decide(state, event_of(kind, document, now_us)) for kind, document, now_us in journal]
    assert repr(again) == repr(made.decisions)
    assert [input_of(event_of(kind, document, now_us)) for kind, document, now_us in journal] == [
        (kind, document) for kind, document, _ in journal
    ]


def test_hosts_that_were_launched_are_told_whole() -> None:
    host = Host(name="i-1", place="cloud", latitude=1.0, longitude=2.0, state="running", is_ours=True)
    event = events.InstanceLaunched(now_us=7, host=host, container="c")
    assert event_of(*input_of(event), 7) == event


@pytest.mark.parametrize(
    ("kind", "document", "says"),
    [
        ("Nothing", "{}", "there is no kind 'Nothing' of event"),
        ("ContainerEnded", "{}", "is no ContainerEnded: KeyError"),
        ("ContainerEnded", "[", "is no ContainerEnded"),
    ],
)
def test_what_is_no_event_is_refused(kind: str, document: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        event_of(kind, document, 0)
