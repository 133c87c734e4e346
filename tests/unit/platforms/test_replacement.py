"""Which pod is taken for the replacement of one that was killed."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
