"""Reports which instances of a local target have come up or gone down, by its state file."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.local.state import LocalInstance, TargetState, read_state
from microservo.platforms.platform import Instance, InstanceChange

logger = logging.getLogger(__name__)

# One stat of one file: microseconds of work, and the same on Linux and macOS. A change is reported with the
# instant at which the launcher saw it, so how often we look moves no measured time.
_INTERVAL_S = 0.05

_SETTLED_NS = 1_000_000_000
"""Two writings within one tick of the file system's clock may look alike; later ones don't."""

_Stamp = tuple[int, int] | None
_UNKNOWN: _Stamp = (-1, -1)
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
        self._stamp: _Stamp = _UNKNOWN
        self._before: Mapping[str, LocalInstance] = {}
        self._shared: Mapping[str, int] = {}
        self._trouble = ""

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
        self._stamp = _settled(stamp)
        try:
            state = read_state(self._state_file)
        except Unavailable:
            return self._compared({}, {}, self._clock())
        except (InvalidInput, OSError) as error:
            self._warn(str(error))
            return []
        instances = {each.id: each for each in state.instances}
        return self._compared(instances, _shared(state), state.updated_at_us)

    def _compared(
        self, after: Mapping[str, LocalInstance], shared: Mapping[str, int], updated_at_us: int
    ) -> list[InstanceChange]:
        before, self._before, self._trouble = self._before, after, ""
        is_anew = any(pid != self._shared.get(name, pid) for name, pid in shared.items())
        self._shared = {**self._shared, **shared}
        return list(_changes(before, after, updated_at_us, is_anew=is_anew))

    def _warn(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("%s", trouble)
        self._trouble = trouble

    def _report(self, change: InstanceChange) -> None:
        try:
            self._on_change(change)
        except Exception:
            # The defect of a callback must not end the watching.
            logger.exception("%s %s could not be reported", change.instance.id, change.state)


def _shared(state: TargetState) -> Mapping[str, int]:
    """The processes that carry faults of several instances, by name; without those that are down."""
    processes = {"loadgen": state.loadgen, "collector": state.collector}
    return {name: each.pid for name, each in processes.items() if each is not None and each.pid is not None}


def _stamp(path: Path) -> _Stamp:
    """Differs after each writing, for each makes a new file; None without a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _settled(stamp: _Stamp) -> _Stamp:
    """The stamp, once no later writing can have the same."""
    is_fresh = stamp is not None and time.time_ns() - stamp[1] < _SETTLED_NS
    return _UNKNOWN if is_fresh else stamp


def _changes(
    before: Mapping[str, LocalInstance],
    after: Mapping[str, LocalInstance],
    updated_at_us: int,
    *,
    is_anew: bool,
) -> Iterator[InstanceChange]:
    """What has changed; `is_anew` says that what carries faults of several instances was started anew."""
    for name, old in before.items():
        new = after.get(name)
        if old.pid is not None and (new is None or new.pid != old.pid):
            # Its end is not written down where all of the target is gone.
            at_us = updated_at_us if new is None else max(new.ended_at_us, old.started_at_us)
            yield InstanceChange(instance=seen(old, is_up=False), state="down", at_us=at_us)
    for name, new in after.items():
        if new.pid is None:
            continue
        if name not in before or before[name].pid != new.pid:
            yield InstanceChange(instance=seen(new), state="up", at_us=new.started_at_us)
        elif is_anew or (new.sidecar_pid is not None and before[name].sidecar_pid != new.sidecar_pid):
            yield InstanceChange(instance=seen(new), state="up", at_us=updated_at_us)


def seen(instance: LocalInstance, *, is_up: bool | None = None) -> Instance:
    """The instance as others know it: without process id, port or address."""
    return Instance(
        id=instance.id,
        service=instance.service,
        is_up=instance.pid is not None if is_up is None else is_up,
        started_at_us=instance.started_at_us,
        host=platform.node(),
        ended_at_us=instance.ended_at_us,
    )
