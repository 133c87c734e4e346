"""Signals to real processes, which here do nothing but wait."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import psutil
import pytest
from target_states import local_instance, target_state

from microservo.adapters.clock import now_us
from microservo.domain.faults.base import Wire
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.local.mechanisms import process
from microservo.platforms.local.mechanisms.process import ProcessSignals
from microservo.platforms.mechanism import Confirmation

PAUSE: Wire = ("process-pause", {})
KILL: Wire = ("process-kill", {})
CART = "cart-0"


class Lab:
    """A target of one process, and the mechanism on it."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self.cart = local_instance(CART, pid=child.pid, started_at_us=now_us())
        self.signals = self.another()

    def another(self) -> ProcessSignals:
        """The mechanism of a later process of the injector."""
        return ProcessSignals(lambda: target_state(self.cart), now_us, replaced_within_s=0.05)

    def replace(self, child: subprocess.Popen[bytes] | None) -> None:
        """Puts another process in the place of the instance's, or none."""
        pid = None if child is None else child.pid
        self.cart = replace(self.cart, pid=pid, started_at_us=now_us())

    def is_stopped(self) -> bool:
        return psutil.Process(self.child.pid).status() == psutil.STATUS_STOPPED


def started() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = started()
    yield process
    end(process)


@pytest.fixture
def lab(child: subprocess.Popen[bytes]) -> Lab:
    return Lab(child)


class Watcher:
    """An outside observer: looks every 2 ms whether something is so, until it is."""

    def __init__(self, is_so: Callable[[], bool]) -> None:
        self._is_so = is_so
        self._thread = threading.Thread(target=self._run)
        self.unseen_us = self.seen_us = 0
        self._thread.start()

    def agrees_with(self, confirmed: Confirmation) -> bool:
        """Whether both can be right: their spans of time have an instant in common."""
        self._thread.join(10)
        assert self.seen_us, "the watcher has not seen it at all"
        assert confirmed.within_us is not None
        return confirmed.at_us - confirmed.within_us <= self.seen_us and self.unseen_us <= confirmed.at_us

    def _run(self) -> None:
        pause = threading.Event()
        while not self.seen_us:
            looked_us = now_us()
            if self._is_so():
                self.seen_us = now_us()
            else:
                self.unseen_us = looked_us
                pause.wait(0.002)


def is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def test_an_outside_observer_sees_pause_and_end_within_the_bounds_that_are_given(lab: Lab) -> None:
    for number in range(5):
        paused = Watcher(lab.is_stopped)
        assert paused.agrees_with(lab.signals.apply(CART, f"f-{number}", PAUSE))
        resumed = Watcher(lambda: not lab.is_stopped())
        assert resumed.agrees_with(lab.signals.recover(CART, f"f-{number}", PAUSE))


def test_an_outside_observer_sees_a_kill_within_the_bounds_that_are_given(lab: Lab) -> None:
    child = psutil.Process(lab.child.pid)
    killed = Watcher(lambda: is_gone(child))
    assert killed.agrees_with(lab.signals.apply(CART, "f-1", KILL))


def test_the_end_of_a_kill_is_when_the_replacement_became_healthy_however_often_it_was_asked_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.signals.apply(CART, "f-1", KILL)
    second = started()
    try:
        lab.replace(second)
        healthy_from_us = now_us() + 200_000
        monkeypatch.setattr(process, "is_healthy", lambda _: now_us() >= healthy_from_us)
        confirmed: list[Confirmation] = []
        while not confirmed:
            with contextlib.suppress(Retryable):
                confirmed.append(lab.signals.recover(CART, "f-1", KILL))
        [recovered] = confirmed
        assert recovered.within_us is not None
        assert recovered.at_us - recovered.within_us <= healthy_from_us <= recovered.at_us
        assert recovered.within_us < 200_000, "what was looked at in vain before does not count"
        assert lab.signals.recover(CART, "f-1", KILL) == recovered
        # A later process of the injector knows no more than when the replacement was started.
        later = lab.another().recover(CART, "f-1", KILL)
        assert later.within_us == later.at_us - lab.cart.started_at_us
    finally:
        end(second)


def test_an_end_that_nobody_saw_is_not_called_measured(lab: Lab) -> None:
    lab.signals.apply(CART, "f-1", PAUSE)
    psutil.Process(lab.child.pid).resume()
    ended = lab.signals.recover(CART, "f-1", PAUSE)
    assert "goes on" in ended.evidence
    assert ended.within_us is None


def test_a_pause_is_confirmed_and_so_is_its_end(lab: Lab) -> None:
    assert "is stopped" in lab.signals.apply(CART, "f-1", PAUSE).evidence
    assert lab.is_stopped()
    assert lab.signals.holds(CART, "f-1", PAUSE)
    assert "goes on" in lab.signals.recover(CART, "f-1", PAUSE).evidence
    assert not lab.is_stopped()
    assert not lab.signals.holds(CART, "f-1", PAUSE)


def test_a_pause_and_its_end_that_are_asked_for_again_are_answered_with_the_first_instants(lab: Lab) -> None:
    applied = lab.signals.apply(CART, "f-1", PAUSE)
    assert lab.signals.apply(CART, "f-1", PAUSE) == applied
    recovered = lab.signals.recover(CART, "f-1", PAUSE)
    assert lab.signals.recover(CART, "f-1", PAUSE) == recovered
    assert lab.signals.apply(CART, "f-1", PAUSE).at_us > recovered.at_us


def test_a_pause_of_a_process_that_was_replaced_is_applied_anew(lab: Lab) -> None:
    first = lab.signals.apply(CART, "f-1", PAUSE)
    second = started()
    try:
        lab.replace(second)
        again = lab.signals.apply(CART, "f-1", PAUSE)
        assert again.at_us > first.at_us
        assert psutil.Process(second.pid).status() == psutil.STATUS_STOPPED
    finally:
        end(second)


def test_of_two_pauses_the_last_to_end_lets_go(lab: Lab) -> None:
    lab.signals.apply(CART, "f-1", PAUSE)
    lab.signals.apply(CART, "f-2", PAUSE)
    assert "stays paused for f-2" in lab.signals.recover(CART, "f-1", PAUSE).evidence
    assert lab.is_stopped()
    lab.signals.recover(CART, "f-2", PAUSE)
    assert not lab.is_stopped()


def test_a_pause_nobody_owns_is_ended(lab: Lab) -> None:
    lab.signals.apply(CART, "f-1", PAUSE)
    later = lab.another()
    assert later.release_unowned(CART, lambda: {"f-1": "process-pause"}) == []
    assert later.release_unowned(CART, lambda: {"f-2": "cpu-hog"}) == [f"pause of process {lab.child.pid}"]
    assert not lab.is_stopped()
    assert later.release_unowned(CART, dict) == []


def test_a_pause_is_adopted_by_a_later_process(lab: Lab) -> None:
    lab.signals.apply(CART, "f-1", PAUSE)
    later = lab.another()
    assert later.holds(CART, "f-1", PAUSE)
    later.recover(CART, "f-1", PAUSE)
    assert not lab.is_stopped()


def test_a_kill_is_confirmed_when_the_process_is_gone_and_over_when_another_one_is_healthy(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = lab.signals.apply(CART, "f-1", KILL)
    assert killed.evidence == f"process {lab.child.pid} is gone"
    assert lab.child.wait() == -9
    with pytest.raises(Retryable, match="not been started again"):
        lab.signals.recover(CART, "f-1", KILL)
    lab.replace(None)
    with pytest.raises(Retryable, match="not been started again"):
        lab.signals.recover(CART, "f-1", KILL)
    second = started()
    try:
        lab.replace(second)
        # Who asks for the kill once more, as its first answer was lost, does not kill the replacement.
        assert lab.signals.apply(CART, "f-1", KILL) == killed
        assert second.poll() is None
        with pytest.raises(Retryable, match="not become healthy"):
            lab.signals.recover(CART, "f-1", KILL)
        monkeypatch.setattr(process, "is_healthy", lambda _: True)
        recovered = lab.signals.recover(CART, "f-1", KILL)
        assert recovered.evidence == f"process {second.pid} is healthy"
        assert lab.signals.recover(CART, "f-1", KILL) == recovered
    finally:
        end(second)


@pytest.mark.parametrize("wire", [PAUSE, KILL])
def test_another_process_with_the_same_pid_is_never_touched(lab: Lab, wire: Wire) -> None:
    lab.cart = replace(lab.cart, started_at_us=now_us() - 60_000_000)
    with pytest.raises(InvalidInput, match="cart-0 is down"):
        lab.signals.apply(CART, "f-1", wire)
    assert lab.child.poll() is None
    assert not lab.is_stopped()


@pytest.mark.parametrize("wire", [PAUSE, KILL])
def test_what_is_down_can_not_be_hit(lab: Lab, wire: Wire) -> None:
    lab.replace(None)
    with pytest.raises(InvalidInput, match="cart-0 is down"):
        lab.signals.apply(CART, "f-1", wire)


def test_a_paused_process_that_was_killed_is_recovered(lab: Lab) -> None:
    lab.signals.apply(CART, "f-1", PAUSE)
    lab.child.kill()
    lab.child.wait()
    assert lab.signals.recover(CART, "f-1", PAUSE).evidence == "the paused process is gone"


def test_an_instance_that_the_target_does_not_have_is_waited_for_and_holds_nothing(lab: Lab) -> None:
    with pytest.raises(Retryable, match="no instance cart-9"):
        lab.signals.apply("cart-9", "f-1", PAUSE)
    assert not lab.signals.holds("cart-9", "f-1", PAUSE)
    assert lab.signals.release_unowned("cart-9", dict) == []
    assert "gone" in lab.signals.recover("cart-9", "f-1", PAUSE).evidence
    assert "gone" in lab.signals.recover("cart-9", "f-2", KILL).evidence


OOM: Wire = ("oom-kill", {"bytes": 2**20})


class Instance(BaseHTTPRequestHandler):
    """The control API of an instance that takes memory, or refuses to."""

    refuses = False
    asked: ClassVar[list[tuple[str, object]]] = []

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body))
        taken = {"applied_at_us": 1, "within_us": 1, "acted": None, "evidence": "memory went up"}
        answer = json.dumps({"error": "no room"} if self.refuses else taken).encode()
        self.send_response(422 if self.refuses else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hungry(lab: Lab) -> Iterator[Lab]:
    """A target whose instance takes memory when it is told to."""
    Instance.asked.clear()
    Instance.refuses = False
    with ThreadingHTTPServer(("127.0.0.1", 0), Instance) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        lab.cart = replace(lab.cart, control_url=f"http://127.0.0.1:{server.server_port}")
        yield lab
        server.shutdown()
        thread.join()


def test_a_kill_for_want_of_memory_comes_after_the_memory_was_taken(hungry: Lab) -> None:
    confirmed = hungry.signals.apply(CART, "f-1", OOM)
    assert Instance.asked == [("/faults/f-1", {"kind": "memory-hog", "parameters": {"bytes": 2**20}})]
    assert confirmed.evidence == f"memory went up; process {hungry.child.pid} is gone"
    assert hungry.child.wait(10) == -signal.SIGKILL
    assert hungry.signals.apply(CART, "f-1", OOM) == confirmed
    assert len(Instance.asked) == 1, "who asks again kills no second process"


def test_an_instance_that_has_not_that_much_memory_is_not_killed(hungry: Lab) -> None:
    Instance.refuses = True
    with pytest.raises(InvalidInput, match="no room"):
        hungry.signals.apply(CART, "f-1", OOM)
    assert hungry.child.poll() is None
