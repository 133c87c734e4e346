"""Two ends of one log: whatever they write, however they are cut off, both hold the same in the end."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from microservo.domain.manager.changes import (
    GRAVE_US,
    MASTER,
    Change,
    accept,
    change_of,
    correction,
    created,
    deletion_headers,
    deletion_of,
    followed,
    life_began,
    record_of,
    taken_over,
)
from microservo.domain.manager.replica import Pending, Replica
from microservo.errors import InvalidInput
from schemas.codec import decode_as, encode
from schemas.records import EntityChange

WORKERS = ("worker-asia", "worker-europe")
NAMES = (MASTER, *WORKERS)
ENTITIES = tuple(f"container/{number}" for number in range(6))


@dataclass
class End:
    """A process at the log: its replica, how far it has read, and whether it can reach the log."""

    replica: Replica
    read: int = 0
    is_cut_off: bool = False


@dataclass
class World:
    """One log, compacted now and then, and three processes that share it."""

    log: list[Change | None] = field(default_factory=list)
    ends: dict[str, End] = field(default_factory=lambda: {name: End(replica=Replica(name)) for name in NAMES})
    judge: Replica = field(default_factory=lambda: Replica("judge"))
    """Reads every message once: what holds by the whole history."""
    judged: list[tuple[Change, str]] = field(default_factory=list)
    dropped: list[Change] = field(default_factory=list)
    stale: list[Replica] = field(default_factory=list)
    """Lives that were paused and replaced, and go on: they read nothing any more, and write."""
    now_us: int = 1_700_000_000_000_000
    number: int = 0

    def write(self, name: str, action: str, entity: str, owner: str = "") -> None:
        self._write(self.ends[name].replica, action, entity, owner)

    def write_stale(self, number: int, action: str, entity: str, owner: str = "") -> None:
        """One that was replaced writes, by what it knew."""
        if self.stale:
            replica = self.stale[number % len(self.stale)]
            self._write(replica, action, entity, owner)
            self.log += replica.offers(again=True)

    def _write(self, replica: Replica, action: str, entity: str, owner: str) -> None:
        self.now_us += 1
        self.number += 1
        document = json.dumps({"n": self.number})
        try:
            if action == "create":
                replica.create(entity, document, self.now_us)
            elif action == "update":
                replica.update(entity, document, self.now_us)
            elif action == "delete":
                replica.delete(entity, self.now_us)
            else:
                replica.assign(entity, owner, self.now_us)
        except InvalidInput:
            return

    def publish(self, name: str, *, again: bool = False) -> None:
        end = self.ends[name]
        if end.is_cut_off:
            return
        self.log += end.replica.offers(again=again)

    def read(self, name: str, most: int | None = None) -> None:
        end = self.ends[name]
        if None in self.log[end.read :]:
            # It was away for so long that messages are missing: it begins anew, and reads to the end.
            outbox, life_us = end.replica.outbox, end.replica.life_us
            end.replica, end.read, most = Replica(name, outbox, life_us=life_us), 0, None
        until = len(self.log) if most is None else min(len(self.log), end.read + most)
        for change in self.log[end.read : until]:
            if change is not None:
                self.dropped += [each.change for each in end.replica.read(change).dropped]
        end.read = until

    def cut_off(self, name: str) -> None:
        self.ends[name].is_cut_off = True

    def return_(self, name: str) -> None:
        """First everything is read, then what is left is offered again."""
        end = self.ends[name]
        end.is_cut_off = False
        self.read(name)
        end.replica.correct(self.now_us)
        self.publish(name, again=True)

    def restart(self, name: str, *, keeps_outbox: bool) -> None:
        self._begin_life(name, self.ends[name].replica.outbox if keeps_outbox else ())

    def replace(self, name: str) -> None:
        """A process is paused, and another one takes its place."""
        self.stale.append(self.ends[name].replica)
        self._begin_life(name, ())

    def _begin_life(self, name: str, outbox: tuple[Pending, ...]) -> None:
        self.now_us += 1
        self.log.append(life_began(name, self.now_us))
        self.ends[name] = End(replica=Replica(name, outbox, life_us=self.now_us))
        self.return_(name)

    def judge_all(self) -> None:
        for change in self.log[len(self.judged) :]:
            assert change is not None
            self.judged.append((change, self.judge.read(change).judgement.outcome))

    def compact(self) -> None:
        """Removes what is superseded, up to the first refused change that stands."""
        self.judge_all()
        standing = {id(each) for found in self.judge._refused.values() for each in found.values()}
        until = next((n for n, (each, _) in enumerate(self.judged) if id(each) in standing), len(self.judged))
        newest = {change.entity: n for n, (change, _) in enumerate(self.judged[:until])}
        for number in range(until):
            if newest[self.judged[number][0].entity] != number:
                self.log[number] = None

    def settle(self) -> None:
        """Everybody can reach the log, and goes on until nothing is left to be said."""
        for name in NAMES:
            self.return_(name)
        for _ in range(60):
            before = len(self.log)
            for name in NAMES:
                self.read(name)
                self.ends[name].replica.correct(self.now_us)
                self.publish(name)
            if len(self.log) == before:
                return
        raise AssertionError("they never come to an end")

    def states(self) -> dict[str, list[str]]:
        return {name: state_of(end.replica) for name, end in self.ends.items()}

    def check(self) -> None:
        """What holds is the same for all, from the whole log and from what compaction left of it."""
        self.settle()
        self.judge_all()
        expected = state_of(self.judge)
        assert self.states() == dict.fromkeys(NAMES, expected)
        assert not any(end.replica.outbox for end in self.ends.values())
        self.compact()
        late = Replica("late")
        for change in filter(None, self.log):
            late.read(change)
        assert state_of(late) == expected
        self.check_history()

    def check_history(self) -> None:
        """By the whole history: what was deleted stays so, and no accepted change is passed over."""
        held: dict[str, Change] = {}
        lives: dict[str, int] = {}
        for change, outcome in self.judged:
            before, newest_us = held.get(change.entity), lives.get(change.writer, 0)
            lives[change.writer] = max(newest_us, change.life_us)
            assert change.life_us >= newest_us or outcome != "accepted", "an earlier life was heard"
            if outcome != "accepted":
                assert outcome in ("refused", "known"), "nobody who read everything was ever led astray"
                continue
            if before is not None:
                assert change.base == before.identity, "an accepted change was passed over"
                assert change.writer in (before.owner, MASTER) or before.is_deletion
                if before.is_deletion and not change.is_deletion:
                    assert change.epoch == before.epoch + 1, "a deleted entity came back"
            held[change.entity] = change


def state_of(replica: Replica) -> list[str]:
    return sorted(
        f"{change.entity} {change.identity} {change.owner} {change.document}"
        for change in replica.holding()
        if not change.is_deletion
    )


class SharedState(RuleBasedStateMachine):
    """a master and two workers."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(
        name=st.sampled_from(NAMES),
        action=st.sampled_from(["create", "update", "delete", "assign"]),
        entity=st.sampled_from(ENTITIES),
        owner=st.sampled_from(NAMES),
        publishes=st.booleans(),
    )
    def write(self, name: str, action: str, entity: str, owner: str, publishes: bool) -> None:
        self.world.write(name, action, entity, owner)
        if publishes:
            self.world.publish(name)

    @rule(name=st.sampled_from(NAMES), most=st.integers(1, 5))
    def read(self, name: str, most: int) -> None:
        if not self.world.ends[name].is_cut_off:
            self.world.read(name, most)

    @rule(name=st.sampled_from(NAMES))
    def catch_up(self, name: str) -> None:
        if not self.world.ends[name].is_cut_off:
            self.world.read(name)
            self.world.ends[name].replica.correct(self.world.now_us)
            self.world.publish(name)

    @rule(name=st.sampled_from(NAMES))
    def cut_off(self, name: str) -> None:
        self.world.cut_off(name)

    @rule(name=st.sampled_from(NAMES))
    def return_(self, name: str) -> None:
        self.world.return_(name)

    @rule(name=st.sampled_from(NAMES), keeps_outbox=st.booleans())
    def restart(self, name: str, keeps_outbox: bool) -> None:
        self.world.restart(name, keeps_outbox=keeps_outbox)

    @rule(name=st.sampled_from(NAMES))
    def replace(self, name: str) -> None:
        self.world.replace(name)

    @rule(
        number=st.integers(0, 3),
        action=st.sampled_from(["create", "update", "delete", "assign"]),
        entity=st.sampled_from(ENTITIES),
        owner=st.sampled_from(NAMES),
    )
    def write_stale(self, number: int, action: str, entity: str, owner: str) -> None:
        self.world.write_stale(number, action, entity, owner)

    @rule()
    def compact(self) -> None:
        self.world.compact()

    @precondition(lambda self: len(self.world.log) > 4)
    @rule()
    def settle(self) -> None:
        self.world.check()

    @invariant()
    def nobody_has_read_beyond_the_log(self) -> None:
        assert all(end.read <= len(self.world.log) for end in self.world.ends.values())

    def teardown(self) -> None:
        self.world.check()


TestSharedState = SharedState.TestCase
TestSharedState.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_ten_thousand_changes_with_partitions_between_leave_all_ends_equal() -> None:
    chance, world = random.Random(7), World()
    entities = [f"container/{number}" for number in range(40)]
    actions = ["create", "update", "update", "update", "delete", "assign"]
    for number in range(10_000):
        name = chance.choice(NAMES)
        world.write(name, chance.choice(actions), chance.choice(entities), chance.choice(NAMES))
        if chance.random() < 0.7:
            world.publish(name)
        if chance.random() < 0.05 and not world.ends[name].is_cut_off:
            world.read(name)
            world.ends[name].replica.correct(world.now_us)
        if chance.random() < 0.01:
            world.cut_off(chance.choice(NAMES))
        if chance.random() < 0.01:
            world.return_(chance.choice(NAMES))
        if number % 1000 == 999:
            world.compact()
            world.restart(chance.choice(NAMES), keeps_outbox=chance.random() < 0.5)
        if number % 500 == 499:
            world.replace(chance.choice(NAMES))
        if chance.random() < 0.02:
            entity, owner = chance.choice(entities), chance.choice(NAMES)
            world.write_stale(number, chance.choice(actions), entity, owner)
    world.check()
    outcomes = [outcome for _, outcome in world.judged]
    assert outcomes.count("refused") > 100, "they got in each other's way"
    assert outcomes.count("accepted") > 1_500


AT_US = 1_700_000_000_000_000


def made(owner: str = "worker-asia") -> Change:
    return created("container/a", "{}", grave=None, owner=owner, writer=owner, at_us=AT_US)


def judged(current: Change, change: Change) -> str:
    return accept(current, change).reason or accept(current, change).outcome


def test_a_change_built_on_an_old_version_is_refused_with_what_stands() -> None:
    first = made()
    second = followed(first, '{"a":1}', writer="worker-asia", at_us=AT_US)
    late = followed(first, '{"a":2}', writer="worker-asia", at_us=AT_US)
    assert judged(first, second) == "accepted"
    assert judged(second, late).endswith("but version 2 of epoch 1 by worker-asia stands")


def test_only_the_owner_changes_an_entity_and_only_the_master_gives_it_another_owner() -> None:
    first = made()
    foreign = followed(first, '{"a":1}', writer="worker-europe", at_us=AT_US)
    assert judged(first, foreign) == "worker-europe wrote it, but worker-asia owns the entity"
    moved = taken_over(first, first.document, owner="worker-europe", at_us=AT_US)
    assert judged(first, moved) == "accepted"
    stolen = Change(
        entity="container/a",
        version=2,
        epoch=2,
        owner="worker-europe",
        writer="worker-europe",
        updated_at_us=AT_US,
        base=first.identity,
        document="{}",
    )
    assert judged(first, stolen) == "worker-europe may give it to nobody; only master may"


def test_what_the_former_owner_wrote_is_refused_once_it_is_reassigned() -> None:
    first = made()
    moved = taken_over(first, first.document, owner="worker-europe", at_us=AT_US)
    stale = followed(first, '{"a":1}', writer="worker-asia", at_us=AT_US)
    assert accept(moved, stale).outcome == "refused"


def test_a_deleted_entity_stays_deleted_whatever_its_former_owner_still_says() -> None:
    first = made()
    gone = followed(first, None, writer="worker-asia", at_us=AT_US)
    for stale in (
        followed(first, '{"a":1}', writer="worker-asia", at_us=AT_US),
        followed(gone, '{"a":1}', writer="worker-asia", at_us=AT_US),
        first,
    ):
        assert accept(gone, stale).outcome == "refused"
    again = created("container/a", "{}", grave=gone, owner=MASTER, writer=MASTER, at_us=AT_US)
    assert accept(gone, again).outcome == "accepted"


def test_behind_the_beginning_of_a_later_life_nothing_counts_that_the_earlier_one_writes() -> None:
    first = made()
    stale = followed(first, '{"a":1}', writer="worker-asia", at_us=AT_US)
    assert judged(first, stale) == "accepted"
    refused = accept(first, stale, newest_life_us=1)
    assert (refused.outcome, refused.current) == ("refused", first)
    assert refused.reason == "an earlier life of worker-asia wrote it, behind the beginning of a later one"
    assert accept(None, stale, newest_life_us=1).current is None


def test_what_an_earlier_life_has_made_up_is_gone_for_who_reads_only_the_compacted_log_too() -> None:
    world = World()
    world.settle()
    world.replace(MASTER)
    world.write_stale(0, "create", "container/0")
    (stale,) = [each for each in world.log if each is not None and each.entity == "container/0"]
    late = Replica("late")
    late.read(stale)
    assert late.held("container/0") == stale, "it knows no better"
    world.check()
    for change in world.log:
        if change is not None:
            late.read(change)
    held = late.held("container/0")
    assert held is None or held.is_deletion


def test_a_name_may_be_used_again_once_its_deletion_is_forgotten() -> None:
    gone = followed(made(), None, writer="worker-asia", at_us=AT_US)
    early, late = (
        created("container/a", "{}", grave=None, owner=MASTER, writer=MASTER, at_us=AT_US + after_us)
        for after_us in (GRAVE_US - 1, GRAVE_US)
    )
    assert [accept(gone, each).outcome for each in (early, late)] == ["refused", "accepted"]


def test_who_reads_a_compacted_log_is_led_back_from_a_refused_change() -> None:
    first = made()
    second = followed(first, '{"a":1}', writer="worker-asia", at_us=AT_US)
    stale = followed(first, '{"a":2}', writer="worker-asia", at_us=AT_US)
    said_again = correction(second, stale, writer="worker-asia", at_us=AT_US)
    astray = accept(None, stale).current
    assert accept(astray, said_again).outcome == "corrected"
    assert accept(second, said_again).outcome == "accepted"
    assert said_again.document == second.document


def test_a_worker_that_returns_is_told_what_was_reassigned_or_deleted_meanwhile() -> None:
    world = World()
    for entity in ("container/0", "container/1", "container/2"):
        world.write("worker-asia", "create", entity)
    world.publish("worker-asia")
    world.settle()
    world.cut_off("worker-asia")
    for entity in ("container/0", "container/1", "container/2"):
        world.write("worker-asia", "update", entity)
    world.write(MASTER, "assign", "container/0", "worker-europe")
    world.write(MASTER, "delete", "container/1")
    world.publish(MASTER)
    world.check()
    assert [change.entity for change in world.dropped] == ["container/0", "container/1"]
    held = world.ends[MASTER].replica.held("container/2")
    assert held is not None
    assert (held.version, held.owner) == (2, "worker-asia"), "its own change arrives"


def test_changes_are_published_in_the_order_in_which_they_were_written_also_of_several_entities() -> None:
    worker = Replica("w-asia")
    worker.create("container/old", "{}", 1)
    worker.create("container/new", "{}", 2)
    worker.delete("container/old", 3)
    worker.update("container/new", "[]", 4)
    expected = ["container/old", "container/new", "container/old", "container/new"]
    assert [each.entity for each in worker.offers()] == expected
    assert [each.entity for each in Replica("w-asia", worker.outbox).offers()] == expected
    worker.delete("container/new", 5)
    assert [each.entity for each in worker.offers(again=True)] == [*expected, "container/new"]


def test_one_process_cannot_change_what_another_owns_and_is_told_the_way_out() -> None:
    world = World()
    world.write("worker-asia", "create", "container/0")
    world.publish("worker-asia")
    world.settle()
    with pytest.raises(InvalidInput, match="owned by 'worker-asia'; ask it, or have 'master' assign it"):
        world.ends["worker-europe"].replica.update("container/0", "{}", AT_US)
    with pytest.raises(InvalidInput, match="only 'master' assigns"):
        world.ends["worker-europe"].replica.assign("container/0", "worker-europe", AT_US)
    with pytest.raises(InvalidInput, match="exists, in version 1"):
        world.ends[MASTER].replica.create("container/0", "{}", AT_US)


def test_changes_survive_the_topic_and_deletions_their_headers() -> None:
    change = correction(made(), made(MASTER), writer="worker-asia", at_us=AT_US)
    assert change_of(decode_as(EntityChange, encode(record_of(change)))) == change
    gone = followed(change, None, writer="worker-asia", at_us=AT_US)
    assert deletion_of("container/a", deletion_headers(gone)) == gone
    with pytest.raises(ValueError, match="header 'version' is missing"):
        deletion_of("container/a", ())
