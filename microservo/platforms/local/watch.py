"""Tells which instances of a local target have come up or gone down, by its state file."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.local.state import LocalInstance, read_state
from microservo.platforms.platform import Instance, InstanceChange

logger = logging.getLogger(__name__)

# One stat of one file: microseconds of work, and the same on Linux and macOS. A change is reported with the
# instant at which the launcher saw it, so how often we look moves no measured time.
_INTERVAL_S = 0.05

_Stamp = tuple[int, int] | None
_OnChange = Callable[[InstanceChange], None]


@contextlib.contextmanager
def watch_state(state_file: Path, on_change: _OnChange, *, clock: Callable[[], int]) -> Iterator[None]:
    """Calls `on_change`, from a thread of its own, as `Platform.watch` says."""
    stopping = threading.Event()
    watcher = _Watcher(state_file, on_change, clock)
    thread = threading.Thread(target=watcher.run, args=(stopping,), name="watch-target", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


class _Watcher:
    """Compares each state with the one before."""

    def __init__(self, state_file: Path, on_change: _OnChange, clock: Callable[[], int]) -> None:
        self._state_file = state_file
        self._on_change = on_change
        self._clock = clock
        self._stamp: _Stamp = None
        self._before: Mapping[str, LocalInstance] = {}

    def run(self, stopping: threading.Event) -> None:
        while True:
            for change in self._changes():
                self._report(change)
            if stopping.wait(_INTERVAL_S):
                return

    def _changes(self) -> list[InstanceChange]:
        stamp = _stamp(self._state_file)
        if stamp == self._stamp:
            return []
        try:
            after = {each.id: each for each in read_state(self._state_file).instances}
        except Unavailable:
            after = {}
        except InvalidInput as error:
            logger.warning("%s", error)
            after = dict(self._before)
        before, self._before, self._stamp = self._before, after, stamp
        return list(_changes(before, after, self._clock()))

    def _report(self, change: InstanceChange) -> None:
        try:
            self._on_change(change)
        except Exception:
            # The defect of a callback must not end the watching.
            logger.exception("%s %s could not be reported", change.instance.id, change.state)


def _stamp(path: Path) -> _Stamp:
    """Differs after each writing, for each makes a new file; None without a file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _changes(
    before: Mapping[str, LocalInstance], after: Mapping[str, LocalInstance], now_us: int
) -> Iterator[InstanceChange]:
    for name, old in before.items():
        new = after.get(name)
        if old.pid is not None and (new is None or new.pid != old.pid):
            # Its end is not written down where all of the target is gone.
            at_us = now_us if new is None else max(new.ended_at_us, old.started_at_us)
            yield InstanceChange(instance=seen(old, is_up=False), state="down", at_us=at_us)
    for name, new in after.items():
        if new.pid is not None and (name not in before or before[name].pid != new.pid):
            yield InstanceChange(instance=seen(new), state="up", at_us=new.started_at_us)


def seen(instance: LocalInstance, *, is_up: bool | None = None) -> Instance:
    """The instance as others know it: without process id, port or address."""
    return Instance(
        id=instance.id,
        service=instance.service,
        is_up=instance.pid is not None if is_up is None else is_up,
        started_at_us=instance.started_at_us,
    )
