"""Limits of real processes, which here open files when they are told to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
from target_states import local_instance, target_state

from microservo.adapters.clock import now_us
from microservo.domain.faults.base import Wire
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms.process_limits import ProcessLimits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits other processes")

FULL: Wire = ("fd-exhaustion", {"left": 0})
CART = "cart-0"
OPENER = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print("ready", flush=True)
for _ in sys.stdin:
    try:
        os.open("/dev/null", os.O_RDONLY)
        print("opened", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


class Lab:
    """A target of one process, and the mechanism on it."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self.cart = local_instance(CART, pid=child.pid, started_at_us=now_us())
        self.limits = self.another()

    def another(self) -> ProcessLimits:
        """The mechanism of a later process of the injector."""
        return ProcessLimits(lambda: target_state(self.cart), now_us)

    def open(self) -> str:
        """What comes of opening one more file."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()

    def limit(self) -> int:
        return int(psutil.Process(self.child.pid).rlimit(psutil.RLIMIT_NOFILE)[0])


@pytest.fixture
def lab() -> Iterator[Lab]:
    command = [sys.executable, "-I", "-S", "-c", OPENER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield Lab(child)
        child.kill()


def test_a_process_without_descriptors_opens_nothing_until_it_is_over(lab: Lab) -> None:
    assert lab.open() == "opened"
    before_us = now_us()
    applied = lab.limits.apply(CART, "f-1", FULL)
    assert applied.within_us is not None
    assert before_us <= applied.at_us - applied.within_us <= applied.at_us <= now_us()
    assert lab.limits.apply(CART, "f-1", FULL) == applied
    assert lab.open() == "Too many open files"
    recovered = lab.limits.recover(CART, "f-1", FULL)
    assert lab.open() == "opened"
    assert lab.limit() == 1024
    assert lab.limits.recover(CART, "f-1", FULL) == recovered


def test_as_many_files_as_are_left_can_be_opened(lab: Lab) -> None:
    lab.limits.apply(CART, "f-1", ("fd-exhaustion", {"left": 2}))
    assert [lab.open() for _ in range(3)] == ["opened", "opened", "Too many open files"]


def test_of_two_limits_the_lower_one_holds_until_the_last_is_over(lab: Lab) -> None:
    lab.limits.apply(CART, "f-1", ("fd-exhaustion", {"left": 0}))
    lab.limits.apply(CART, "f-2", ("fd-exhaustion", {"left": 5}))
    assert lab.open() == "Too many open files"
    assert "stays limited for f-2" in lab.limits.recover(CART, "f-1", FULL).evidence
    assert lab.limit() < 1024
    lab.limits.recover(CART, "f-2", FULL)
    assert lab.limit() == 1024


def test_a_later_injector_finds_a_limit_and_releases_one_that_nobody_owns(lab: Lab) -> None:
    lab.limits.apply(CART, "f-1", FULL)
    later = lab.another()
    assert later.holds(CART, "f-1", FULL)
    assert later.release_unowned(CART, lambda: {"f-1": "fd-exhaustion"}) == []
    assert later.release_unowned(CART, dict) == [f"limit of process {lab.child.pid}"]
    assert not later.holds(CART, "f-1", FULL)
    assert later.release_unowned(CART, dict) == []


def test_what_replaces_a_process_has_no_limit(lab: Lab) -> None:
    lab.limits.apply(CART, "f-1", FULL)
    lab.cart = replace(lab.cart, pid=None)
    assert not lab.limits.holds(CART, "f-1", FULL)
    assert "gone" in lab.limits.recover(CART, "f-1", FULL).evidence
    with pytest.raises(InvalidInput, match="cart-0 is down"):
        lab.limits.apply(CART, "f-2", FULL)


@pytest.mark.parametrize("parameters", [{}, {"left": -1}, {"left": 0, "right": 1}, {"left": "0"}])
def test_bad_parameters_are_refused_and_nothing_is_touched(lab: Lab, parameters: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="give left alone, from 0 to 1023"):
        lab.limits.apply(CART, "f-1", ("fd-exhaustion", parameters))
    assert lab.limit() == 1024
