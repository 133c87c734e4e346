from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from registrations import registration, registry_itself

from microservo.domain.registry.directory import Directory, NotRegistered, RegisteredElsewhere
from microservo.domain.registry.instances import Condition
from microservo.domain.registry.peers import GONE_AFTER, SILENT_AFTER
from microservo.errors import InvalidInput
from schemas.records import Registration

EUROPE, ASIA = registry_itself("europe"), registry_itself("asia")
CART = registration("cart-1", registry="europe")
Log = list[tuple[str, Registration | None]]


class World:
    """Registries and the log between them, each reading at its own pace."""

    def __init__(self, *own: Registration) -> None:
        self.log: Log = []
        self.directories = {each.instance: Directory(each) for each in own}
        self.read = dict.fromkeys(self.directories, 0)

    def __getitem__(self, name: str) -> Directory:
        return self.directories[name]

    def write(self, name: str) -> None:
        self.log += self[name].take_changes().items()

    def speak(self, name: str) -> None:
        own = self[name].presence(len(self.log))
        self.log.append((own.registration_id, own))

    def catch_up(self, name: str) -> None:
        for key, record in self.log[self.read[name] :]:
            self[name].observe(key, record)
        self.read[name] = len(self.log)

    def settle(self) -> None:
        """Until nobody has anything to write or to read."""
        while any(self.read[name] < len(self.log) or self._writes(name) for name in self.directories):
            for name in self.directories:
                self.catch_up(name)

    def _writes(self, name: str) -> bool:
        before = len(self.log)
        self.write(name)
        return len(self.log) > before

    def known(self, name: str) -> dict[str, Registration]:
        return {each.registration_id: each for each in self[name].instances if each.service != "registry"}


def state_on(log: Log) -> dict[str, Registration]:
    """What is left once the log is compacted."""
    newest = dict(log)
    return {key: record for key, record in newest.items() if record and record.service != "registry"}


def test_what_is_registered_at_one_registry_is_known_at_the_other() -> None:
    world = World(EUROPE, ASIA)
    world["europe"].register(CART, 0.0)
    assert world.known("europe") == {CART.registration_id: CART}, "at once where it was registered"
    world.settle()
    assert world.known("asia") == world.known("europe")


def test_an_instance_of_which_nothing_is_heard_is_gone_everywhere() -> None:
    world = World(EUROPE, ASIA)
    world["europe"].register(CART, 0.0)
    world["europe"].renew(CART.registration_id, Condition(), at_s=3.0, at_us=0)
    assert world["europe"].expire(6.9) == []
    assert world["europe"].expire(7.1) == [CART.registration_id]
    world.settle()
    assert world.known("europe") == world.known("asia") == {}
    with pytest.raises(NotRegistered, match="there is no instance 'cart/cart-1'; register it"):
        world["europe"].renew(CART.registration_id, Condition(), at_s=8.0, at_us=0)


def test_an_instance_that_is_watched_needs_no_heartbeat() -> None:
    directory = Directory(EUROPE)
    directory.register(replace(CART, pid=7), 0.0)
    assert directory.expire(1000.0) == []
    assert [each.pid for each in directory.watched()] == [7]


def test_who_asks_the_wrong_registry_is_told_the_right_one() -> None:
    world = World(EUROPE, ASIA)
    world.speak("europe")
    world["europe"].register(CART, 0.0)
    world.settle()
    for act in (
        lambda: world["asia"].remove(CART.registration_id),
        lambda: world["asia"].change(CART.registration_id, Condition(draining=True), at_us=1),
    ):
        with pytest.raises(RegisteredElsewhere, match=r"the registry 'europe', at http://127.0.0.1:8080"):
            act()


def test_nobody_removes_a_registry_by_its_api() -> None:
    with pytest.raises(InvalidInput, match="says itself how it is"):
        Directory(EUROPE).remove("registry/europe")


def test_load_is_passed_on_only_where_it_has_moved_by_a_tenth() -> None:
    directory = Directory(EUROPE)
    directory.register(replace(CART, load=0.5), 0.0)
    directory.take_changes()
    directory.renew(CART.registration_id, Condition(load=0.55), at_s=1.0, at_us=1)
    assert directory.take_changes() == {}
    directory.renew(CART.registration_id, Condition(load=0.61), at_s=1.0, at_us=2)
    (changed,) = directory.take_changes().values()
    assert changed is not None
    assert (changed.load, changed.updated_at_us) == (0.61, 2)


def test_an_instance_that_moves_to_another_registry_is_held_by_that_one_alone() -> None:
    world = World(EUROPE, ASIA)
    world["europe"].register(CART, 0.0)
    world.settle()
    world["asia"].register(CART, 1.0)
    world.settle()
    assert world["europe"].expire(100.0) == []
    assert {each.registry for each in world.known("europe").values()} == {"asia"}
    assert world.known("europe") == world.known("asia") == state_on(world.log)


def test_a_late_word_of_the_former_registry_does_not_take_an_instance_away() -> None:
    world = World(EUROPE, ASIA)
    world["asia"].register(CART, 0.0)
    world.settle()
    # Who was cut off believed for long that it had the instance, and says now that it is gone.
    world.log.append((CART.registration_id, None))
    world.settle()
    assert world.known("asia") == world.known("europe") == state_on(world.log)
    assert len(world.known("asia")) == 1


def test_what_stands_on_the_log_for_a_registry_that_does_not_have_it_is_removed() -> None:
    world = World(EUROPE, ASIA)
    world.log.append((CART.registration_id, CART))
    world.settle()
    assert world.known("asia") == state_on(world.log) == {}


def test_after_a_restart_an_instance_has_one_lease_to_be_heard_of() -> None:
    directory = Directory(EUROPE)
    directory.restore([CART, registration("cart-2", registry="asia")], 100.0)
    directory.renew(CART.registration_id, Condition(), at_s=103.0, at_us=0)
    assert directory.expire(106.0) == []
    assert directory.expire(108.0) == [CART.registration_id]
    assert [each.instance for each in directory.instances] == ["europe", "cart-2"]


def test_a_registry_that_is_silent_on_the_log_is_known_to_be() -> None:
    world = World(EUROPE, ASIA)
    world["asia"].register(registration("cart-1"), 0.0)
    world.speak("asia")
    world.settle()
    for _ in range(SILENT_AFTER - 1):
        world.speak("europe")
    world.settle()
    assert [state for _, state in world["europe"].instances.of("cart")] == ["up"]
    world.speak("europe")
    world.settle()
    assert [state for _, state in world["europe"].instances.of("cart")] == ["unconfirmed"]
    world.speak("asia")
    world.speak("europe")
    world.settle()
    assert [state for _, state in world["europe"].instances.of("cart")] == ["up"]


def test_while_the_log_stands_still_nobody_is_silent() -> None:
    world = World(EUROPE, ASIA)
    world["asia"].register(registration("cart-1"), 0.0)
    world.settle()
    for _ in range(100):
        world["europe"].presence(1)
        world["europe"].expire(1e9)
    assert [state for _, state in world["europe"].instances.of("cart")] == ["up"]


def test_what_a_registry_leaves_behind_is_removed_after_a_minute_by_one_of_the_others() -> None:
    africa = registry_itself("africa")
    world = World(EUROPE, ASIA, africa)
    world["asia"].register(registration("cart-1"), 0.0)
    world.speak("asia")
    world.settle()
    del world.directories["asia"]
    for _ in range(GONE_AFTER + 1):
        world.speak("europe")
        world.speak("africa")
        world.catch_up("europe")
        assert world["europe"].take_changes() == {}, "the first by name does it"
        world.catch_up("africa")
        world.write("africa")
    world.settle()
    assert world.known("europe") == world.known("africa") == state_on(world.log) == {}
    assert [each.instance for each in world["europe"].instances] == ["europe", "africa"]


def test_a_registry_that_says_that_it_ends_is_silent_at_once() -> None:
    directory = Directory(EUROPE)
    directory.observe(ASIA.registration_id, ASIA)
    directory.observe("cart/cart-1", registration("cart-1", registry="asia"))
    directory.observe(ASIA.registration_id, None)
    assert [state for _, state in directory.instances.of("cart")] == ["unconfirmed"]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_all_registries_come_to_know_the_same(seed: int) -> None:
    """Random acts on three registries that read and write at their own pace, and restarts."""
    random = Random(seed)
    own = [registry_itself(name) for name in ("africa", "asia", "europe")]
    world = World(*own)
    now_s = 0.0
    for step in range(600):
        now_s += random.random() / 2
        record = random.choice(own)
        name = record.instance
        key = f"cart/cart-{random.randrange(6)}"
        act = random.choice(
            ("register", "renew", "remove", "expire", "write", "catch_up", "speak", "restart")
        )
        try:
            if act == "register":
                world[name].register(registration(key.partition("/")[2], updated_at_us=step), now_s)
            elif act == "renew":
                world[name].renew(key, Condition(load=random.random()), at_s=now_s, at_us=step)
            elif act == "remove":
                world[name].remove(key)
            elif act == "expire":
                world[name].expire(now_s)
            elif act == "write":
                world.write(name)
            elif act == "catch_up":
                world.catch_up(name)
            elif act == "speak":
                world.speak(name)
            else:
                world.write(name)
                world.directories[name] = fresh = Directory(record)
                fresh.restore([each for each in dict(world.log).values() if each is not None], now_s)
                world.read[name] = len(world.log)
        except InvalidInput:
            continue
    world.settle()
    expected = state_on(world.log)
    for each in own:
        assert world.known(each.instance) == expected
    # Nobody is left over: whoever falls silent ends.
    for each in own:
        world[each.instance].expire(now_s + 1000)
    world.settle()
    assert state_on(world.log) == {}
