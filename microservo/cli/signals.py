"""Ctrl-C, SIGTERM and a closed terminal mean: stop everything, in order; said again: at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from microservo.cli.output import print_line
from microservo.cli.standard_output import OutputFailed, ReaderGone
from microservo.errors import MicroServoError

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A terminal that closes may send SIGHUP more than once (the kernel and the shell both do).
_KILLING = (signal.SIGINT, signal.SIGTERM)
_SAME_SIGNAL_S = 0.2
"""What comes so soon after the first is the same key: wrappers such as `uv run` pass on what the terminal has
sent already."""
_INTERRUPTED = 130
_SHOW_CURSOR = "\x1b[?25h"


@contextlib.contextmanager
def handled_signals(kill: Callable[[], None]) -> Iterator[None]:
    """Turns the first such signal into KeyboardInterrupt; a second one kills and ends this process at once.

    The second one is received by a thread of its own, so it works while the orderly end hangs, whatever it
    hangs in.

    Args:
        kill: ends whatever this process has started, without waiting for anything.
    """
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        listener = threading.Thread(
            target=_wait_for_second, args=(receiver, kill), name="second-signal", daemon=True
        )
        listener.start()
        former_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        former = {number: signal.signal(number, interrupt) for number in _STOPPING}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_fd)
            sender.close()
            listener.join()


def wait_for_signal(finish_run: Callable[[], None]) -> None:
    """Waits for the KeyboardInterrupt of `handled_signals`; has the run recorded as finished first.

    Raises:
        KeyboardInterrupt: always.
    """
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        _print("stopping ... (Ctrl-C again ends everything at once)")
        try:
            finish_run()
        except MicroServoError as error:
            _print(f"the end of the run was not recorded: {error}")
        raise


def _print(line: str) -> None:
    # Who reads may be gone already, as `tee` is that got the same Ctrl-C; everything still has to stop.
    with contextlib.suppress(ReaderGone, OutputFailed):
        print_line(line)


def _wait_for_second(receiver: socket.socket, kill: Callable[[], None]) -> None:
    """Gets each signal's number as the interpreter's own handler gets it, before any Python code runs."""
    first_s: float | None = None
    while number := receiver.recv(1):
        if first_s is None and number[0] in _STOPPING:
            first_s = time.monotonic()
        elif first_s is not None and number[0] in _KILLING and time.monotonic() - first_s > _SAME_SIGNAL_S:
            _kill_at_once(kill)


def _kill_at_once(kill: Callable[[], None]) -> None:
    try:
        kill()
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        os.write(2, f"{cursor}\nended at once\n".encode())
    finally:
        os._exit(_INTERRUPTED)
