from __future__ import annotations

import queue
from dataclasses import replace
from pathlib import Path
from platform import node

import pytest
from target_states import local_instance, target_state

from microservo.domain.faults.base import Wire
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.state import Collector, read_state, write_state
from microservo.platforms.platform import Instance, InstanceChange, kinds_here, services_of
from microservo.platforms.target import running_platform

NOW_US = 900
PATIENCE_S = 10


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "target.json"


@pytest.fixture
def platform(state_file: Path) -> LocalPlatform:
    return LocalPlatform(state_file, clock=lambda: NOW_US)


def test_an_instance_is_known_without_its_process_and_ports(
    state_file: Path, platform: LocalPlatform
) -> None:
    down = local_instance("cart-1", pid=None, started_at_us=7, ended_at_us=8)
    write_state(state_file, target_state(local_instance("cart-0", pid=5, started_at_us=7), down))
    assert platform.instances() == [
        Instance(id="cart-0", service="cart", is_up=True, started_at_us=7, host=node()),
        Instance(id="cart-1", service="cart", is_up=False, started_at_us=7, ended_at_us=8, host=node()),
    ]
    assert services_of(platform) == {"cart": ["cart-0", "cart-1"]}


def test_the_local_target_carries_every_kind_by_the_mechanism_that_it_asks_for(
    platform: LocalPlatform,
) -> None:
    assert kinds_here(platform) == set(kinds_of_local_targets())
    for kind, fault in KINDS.items():
        names = [mechanism.name for mechanism in platform.mechanisms(kind)]
        assert names == [name for name in fault.mechanisms if name not in ("chaos-mesh", "hosts")]
    with pytest.raises(InvalidInput, match="no kind 'magic'"):
        platform.mechanisms("magic")


def test_only_the_owner_can_read_the_state_for_the_token_is_in_it(state_file: Path) -> None:
    state = target_state(local_instance("cart-0"))
    write_state(state_file, state)
    assert state_file.stat().st_mode & 0o777 == 0o600
    assert read_state(state_file) == state


def test_without_a_target_the_platform_says_so(state_file: Path, platform: LocalPlatform) -> None:
    assert running_platform(state_file) is None
    for ask in (platform.instances, platform.edges, platform.meter().read):
        with pytest.raises(Unavailable, match=r"no target is running: there is no .*target\.json"):
            ask()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"instances": []}', "topology: expected a value, got none"),
        ("nonsense", "invalid JSON"),
        ('{"control_token": "secret', "invalid JSON"),
    ],
)
def test_what_is_no_state_is_refused_in_one_line_that_shows_no_token(
    state_file: Path, platform: LocalPlatform, text: str, problem: str
) -> None:
    state_file.parent.mkdir()
    state_file.write_text(text)
    with pytest.raises(InvalidInput, match="is not a target's state") as refusal:
        platform.instances()
    assert problem in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def next_change(changes: queue.SimpleQueue[InstanceChange]) -> tuple[str, str, int]:
    change = changes.get(timeout=PATIENCE_S)
    assert change.instance.is_up == (change.state == "up")
    return change.instance.id, change.state, change.at_us


def test_a_watcher_sees_instances_go_down_and_come_up_at_the_instants_when_they_did(
    state_file: Path, platform: LocalPlatform
) -> None:
    changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()
    cart, front = local_instance("cart-0", pid=5, started_at_us=100), local_instance("front-0", pid=None)
    write_state(state_file, target_state(cart, front))
    with platform.watch(changes.put):
        assert next_change(changes) == ("cart-0", "up", 100)
        write_state(state_file, target_state(replace(cart, pid=None, ended_at_us=200), front))
        assert next_change(changes) == ("cart-0", "down", 200)
        restarted = replace(cart, pid=6, started_at_us=300, ended_at_us=200)
        write_state(state_file, target_state(restarted, front))
        assert next_change(changes) == ("cart-0", "up", 300)
        # So fast that nobody saw it down.
        write_state(state_file, target_state(replace(cart, pid=7, started_at_us=500, ended_at_us=400), front))
        assert next_change(changes) == ("cart-0", "down", 400)
        assert next_change(changes) == ("cart-0", "up", 500)
        # Its sidecar came back, so that the faults of the network are gone.
        after = replace(cart, pid=7, sidecar_pid=8, started_at_us=500, ended_at_us=400)
        write_state(state_file, target_state(after, front, updated_at_us=600))
        assert next_change(changes) == ("cart-0", "up", 600)
        state_file.unlink()
        assert next_change(changes) == ("cart-0", "down", NOW_US)
    assert changes.empty()


def test_a_collector_that_was_started_anew_has_lost_the_faults_of_all_instances_that_run(
    state_file: Path, platform: LocalPlatform
) -> None:
    changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()
    instances = (local_instance("cart-0", started_at_us=5), local_instance("front-0", pid=None))

    def collector_has(pid: int | None, at_us: int) -> None:
        collector = Collector(pid=pid, control_url="http://127.0.0.1:1")
        write_state(state_file, target_state(*instances, updated_at_us=at_us, collector=collector))

    collector_has(1, 100)
    with platform.watch(changes.put):
        assert next_change(changes) == ("cart-0", "up", 5)
        collector_has(2, 200)
        assert next_change(changes) == ("cart-0", "up", 200)
    assert changes.empty()


def test_users_that_were_started_anew_have_lost_the_faults_of_the_instances_they_come_to(
    state_file: Path, platform: LocalPlatform
) -> None:
    changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()

    def users_have(pid: int | None, at_us: int) -> None:
        state = target_state(local_instance("front-0", started_at_us=5), updated_at_us=at_us)
        write_state(state_file, replace(state, loadgen=replace(state.loadgen, pid=pid)))

    users_have(1, 100)
    with platform.watch(changes.put):
        assert next_change(changes) == ("front-0", "up", 5)
        users_have(None, 200)
        users_have(2, 300)
        assert next_change(changes) == ("front-0", "up", 300)
    assert changes.empty()


@pytest.mark.parametrize(
    ("wire", "sentence"),
    [
        (("load-spike", {"times": 3}), "no users come to it; take one of front"),
        (("dns-failure", {"name": ""}), "it calls nobody; take one of front"),
        (("network-partition", {"peer": "cart"}), "none of the neighbours of cart; there are front"),
        (("network-delay", {"latency_us": 1, "jitter_us": 0, "peer": "x"}), "callers of cart"),
    ],
)
def test_a_fault_that_an_instance_can_not_have_is_refused_before_anybody_is_asked(
    state_file: Path, platform: LocalPlatform, wire: Wire, sentence: str
) -> None:
    state = target_state(local_instance("cart-0"), local_instance("front-0"))
    write_state(state_file, replace(state, edges=(("loadgen", "front"), ("front", "cart"))))
    (mechanism,) = platform.mechanisms(wire[0])
    # Nothing answers at the addresses of this target: who was asked would be waited for.
    with pytest.raises(InvalidInput, match=sentence):
        mechanism.apply("cart-0", "f1", wire)


def test_a_callback_that_fails_does_not_end_the_watching(state_file: Path, platform: LocalPlatform) -> None:
    changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()

    def fail_once(change: InstanceChange) -> None:
        changes.put(change)
        if change.instance.id == "cart-0":
            msg = "a defect"
            raise ValueError(msg)

    write_state(state_file, target_state(local_instance("cart-0"), local_instance("cart-1")))
    with platform.watch(fail_once):
        assert next_change(changes)[:2] == ("cart-0", "up")
        assert next_change(changes)[:2] == ("cart-1", "up")


def test_a_watcher_that_comes_before_the_target_sees_it_come(
    state_file: Path, platform: LocalPlatform
) -> None:
    changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()
    with platform.watch(changes.put):
        write_state(state_file, target_state(local_instance("cart-0", started_at_us=5)))
        assert next_change(changes) == ("cart-0", "up", 5)
