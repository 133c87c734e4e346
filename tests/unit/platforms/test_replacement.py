"""Which pod is taken for the replacement of one that was killed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from microservo.platforms.kubernetes.chaos.instants import Instant
from microservo.platforms.kubernetes.chaos.replacement import Killed, Replacements
from microservo.platforms.kubernetes.pods import Owner, Pod

NOON_US = 1_767_355_200_000_000
OWNER = Owner(kind="ReplicaSet", name="cart-7d9f", uid="rs-1", api_version="apps/v1")
VICTIM = Pod(
    namespace="shop",
    name="cart-1",
    uid="u1",
    service="",
    owner=OWNER,
    node="node-1",
    containers=("app",),
    port=8080,
    phase="Running",
    is_up=True,
    is_ready=True,
    restarts=3,
    started_at_us=NOON_US,
    ended_at_us=0,
    ready_at_us=NOON_US,
)
SIBLING = replace(VICTIM, name="cart-2", uid="u2")
STRANGER = replace(VICTIM, name="front-1", uid="u3", owner=replace(OWNER, uid="rs-2"))
NEW = replace(VICTIM, name="cart-3", uid="u4", restarts=0)
KILLED = Killed.of(VICTIM, [VICTIM, SIBLING, STRANGER])


def found(*pods: Pod, killed: Killed = KILLED) -> Pod | None:
    return Replacements().find("object", killed, pods)


def test_a_sibling_made_in_the_second_of_the_kill_is_no_replacement() -> None:
    assert found(SIBLING) is None
    assert found(SIBLING, NEW) == NEW


def test_a_pod_of_another_owner_is_no_replacement() -> None:
    assert found(replace(STRANGER, uid="u5")) is None


@pytest.mark.parametrize("not_yet", [replace(NEW, is_up=False), replace(NEW, is_ready=False)])
def test_a_new_pod_that_serves_not_yet_is_no_replacement(not_yet: Pod) -> None:
    assert found(not_yet) is None


def test_a_container_started_in_the_second_it_was_killed_in_is_not_back_before_it_is_started_again() -> None:
    assert found(VICTIM) is None
    assert found(replace(VICTIM, restarts=4)) == replace(VICTIM, restarts=4)


def test_a_sibling_whose_own_container_was_restarted_is_no_replacement() -> None:
    assert found(replace(SIBLING, restarts=4)) is None


def test_a_pod_that_nothing_owns_is_back_when_its_own_container_is_and_else_gone_for_good() -> None:
    bare = replace(VICTIM, owner=Owner())
    other = replace(bare, uid="u5", name="other")
    killed = Killed.of(bare, [bare, other])
    assert found(other, replace(other, uid="u6"), killed=killed) is None
    assert found(replace(bare, restarts=4), killed=killed) == replace(bare, restarts=4)
    assert not killed.is_gone_for_good([bare, other])
    assert killed.is_gone_for_good([other])
    assert not KILLED.is_gone_for_good([])


def test_what_was_there_before_the_kill_is_read_again_from_its_object() -> None:
    ours = {"microservo.io/pod-uid": "u1", "microservo.io/owner-uid": "rs-1"}
    assert Killed.read({**ours, **KILLED.annotations()}) == KILLED
    alone = Killed.of(VICTIM, [VICTIM])
    assert Killed.read({**ours, **alone.annotations()}) == alone
    assert alone.siblings == frozenset()


def test_two_that_were_killed_have_a_replacement_each_and_keep_it() -> None:
    replacements = Replacements()
    both = [VICTIM, SIBLING]
    first, second = Killed.of(VICTIM, both), Killed.of(SIBLING, both)
    newer = replace(NEW, uid="u5", name="cart-4", ready_at_us=NOON_US + 1)
    assert replacements.find("a", first, [newer, NEW]) == NEW
    assert replacements.find("b", second, [newer, NEW]) == newer
    assert replacements.find("a", first, [newer, NEW]) == NEW


def test_a_container_that_was_killed_is_not_back_with_the_pod_that_came_for_a_kill_beside_it() -> None:
    replacements = Replacements()
    both = [VICTIM, SIBLING]
    of_pod, of_container = Killed.of(SIBLING, both), Killed.of(VICTIM, both)
    down = replace(VICTIM, is_up=False, is_ready=False)
    assert replacements.find("container", of_container, [down, NEW]) is None
    assert replacements.find("pod", of_pod, [down, NEW]) == NEW
    back = replace(VICTIM, restarts=4)
    assert replacements.find("container", of_container, [back, NEW]) == back


def test_a_pod_whose_container_was_killed_and_that_goes_then_is_replaced_by_another_one() -> None:
    gone = replace(VICTIM, is_up=False, is_terminating=True)
    assert found(gone, NEW) == NEW
    assert found(NEW) == NEW


def test_a_pod_that_came_for_a_later_kill_is_left_to_it_once_the_one_of_an_earlier_kill_is_ready() -> None:
    replacements = Replacements()
    slow = replace(NEW, is_ready=False)
    fast = replace(NEW, uid="u5", name="cart-4", ready_at_us=NOON_US + 3_000_000)
    first = Killed.of(VICTIM, [VICTIM, SIBLING])
    second = Killed.of(SIBLING, [SIBLING, slow])
    killed_us = {"applied_us": NOON_US + 2_400_000}
    assert replacements.find("first", first, [slow, fast]) == fast
    assert replacements.find("second", second, [slow, fast], **killed_us) is None
    late = replace(NEW, ready_at_us=NOON_US + 5_000_000)
    assert replacements.find("second", second, [late, fast], **killed_us) == late
    assert replacements.find("first", first, [late, fast]) == fast, "what is over stays over"
    third = Killed.of(late, [late, fast])
    assert replacements.find("third", third, [late, fast], **killed_us) is None, "none is spare any more"


def test_no_kill_is_over_by_a_pod_that_was_ready_before_it() -> None:
    replacements = Replacements()
    fast = replace(NEW, uid="u5", name="cart-4", ready_at_us=NOON_US + 3_000_000)
    assert replacements.find("first", Killed.of(VICTIM, [VICTIM, SIBLING]), [fast]) == fast
    spare = replace(NEW, ready_at_us=NOON_US + 1_000_000)
    second = Killed.of(SIBLING, [SIBLING, spare])
    assert replacements.find("second", second, [spare, fast], applied_us=NOON_US + 2_400_000) is None


def test_a_container_that_was_back_before_its_pod_was_seen_unready_is_back_when_it_was_started() -> None:
    back = replace(VICTIM, restarts=4, started_at_us=NOON_US + 3_000_000)
    over = Replacements().end("a", KILLED, KILL, [back], seen_us=0)
    assert over == (Instant(at_us=NOON_US + 3_500_000, within_us=500_000), "shop/cart-1 is ready")


def test_a_container_that_is_killed_again_is_back_again() -> None:
    replacements = Replacements()
    once, twice = replace(VICTIM, restarts=4), replace(VICTIM, restarts=5)
    assert replacements.find("a", Killed.of(VICTIM, [VICTIM]), [once]) == once
    assert replacements.find("b", Killed.of(once, [once]), [once]) is None
    assert replacements.find("b", Killed.of(once, [once]), [twice]) == twice


KILL = Instant(at_us=NOON_US + 2_400_000, within_us=0)
LATER_US = NOON_US + 2_000_000
"""The second of the kill, in which the API has all that came after it."""


def seen_late(pod: Pod, *pods: Pod) -> Pod | None:
    """What replaces a pod whose kill was seen only afterwards, of these."""
    return found(*pods, killed=Killed.seen_late(pod, pods, KILL))


def test_of_a_kill_seen_late_what_was_started_since_is_the_replacement_and_what_was_there_is_none() -> None:
    new = replace(NEW, started_at_us=LATER_US, ready_at_us=LATER_US)
    assert seen_late(VICTIM, SIBLING, STRANGER) is None
    assert seen_late(VICTIM, SIBLING, STRANGER, new) == new


def test_of_a_kill_seen_late_a_pod_of_its_name_or_its_container_started_since_is_the_replacement() -> None:
    of_its_name = replace(VICTIM, uid="u9", restarts=0, started_at_us=LATER_US)
    assert seen_late(of_its_name, of_its_name, SIBLING) == of_its_name
    restarted = replace(VICTIM, restarts=4, started_at_us=LATER_US)
    assert seen_late(restarted, restarted, SIBLING) == restarted
    assert seen_late(VICTIM, VICTIM, SIBLING) is None


def test_a_kill_is_over_when_something_is_ready_instead_or_at_once_where_nothing_ever_will_be() -> None:
    replacements = Replacements()
    ready = replace(NEW, ready_at_us=NOON_US + 7_000_000)
    assert replacements.end("a", KILLED, KILL, [SIBLING], seen_us=0) is None
    over = replacements.end("a", KILLED, KILL, [SIBLING, ready], seen_us=0)
    assert over == (Instant(at_us=NOON_US + 7_500_000, within_us=500_000), "shop/cart-3 is ready")
    bare = Killed.of(replace(VICTIM, owner=Owner()), [])
    assert replacements.end("b", bare, KILL, [], seen_us=0) == (KILL, "nothing makes another pod")
