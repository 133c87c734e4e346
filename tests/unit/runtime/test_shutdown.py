from __future__ import annotations

import os
import signal
import threading

from microservo.runtime.shutdown import Shutdown


def test_a_signal_requests_the_end_and_wakes_who_waits() -> None:
    with Shutdown() as shutdown:
        assert not shutdown.requested
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        assert shutdown.wait(30)
        assert shutdown.requested


def test_the_former_handlers_come_back() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with Shutdown():
        assert signal.getsignal(signal.SIGTERM) != former
    assert signal.getsignal(signal.SIGTERM) == former


def test_every_thread_that_waits_is_woken() -> None:
    shutdown, woken = Shutdown(()), list[bool]()
    threads = [threading.Thread(target=lambda: woken.append(shutdown.wait(30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    shutdown.request()
    for thread in threads:
        thread.join(30)
    assert woken == [True, True, True]


def test_waiting_in_vain_returns_false() -> None:
    assert not Shutdown(()).wait(0.01)
