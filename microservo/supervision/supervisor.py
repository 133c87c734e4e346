"""Keeps processes running: starts them, starts them again when they end, stops them, leaves none behind.

::

    supervisor's process                            each child: own session and process group
      callers ── start/stop ─► inbox ─► monitor ──fork──► child.py ──exec──► the command
                                 ▲                                               │
      one waiting thread per child └──────────── has ended ◄────────────────────┘
      guard.py (own session) ◄── pipe: pids; it ends with the supervisor, then the guard kills what is left

Three nets, so that nothing outlives the supervisor: `close`; the kernel (`microservo.supervision.child`,
Linux); the guard (`microservo.adapters.processes.Guard`), which also reaches the children's own children.

Whatever is called back (listeners, documents, ready checks, timers) may fail or raise: it is logged, and the
care for the processes goes on.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from microservo.adapters.processes import Guard
from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.document_writer import DocumentWriter
from microservo.supervision.pid_record import kill_leftovers, write_record
from microservo.supervision.process import ProcessSpec, signal_group, start_process, terminate
from microservo.supervision.supervised_process import FIRST_DELAY_S, MAX_DELAY_S, SupervisedProcess

__all__ = ["ProcessSpec", "Supervisor", "kill_leftovers"]

STEADY_AFTER_S = 10.0

_READY_INTERVAL_S = 0.05

OnChange = Callable[[str, int | None], None]
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Supervisor:
    """Starts, restarts and stops processes; may be used from any thread.

    All children are forked by one thread that lives as long as the supervisor, because on Linux it is that
    thread whose end the kernel reports to them.

    Args:
        on_change: called as (name, pid) when a process has started and as (name, None) when it is down; on
            the supervisor's thread, in order, so it must be quick.
        record: file in which the running processes are written down, for `kill_leftovers`.
        report: gets a line when documents can't be written, and when they are again; on the supervisor's
            thread. None: it is only logged.
    """

    def __init__(
        self,
        *,
        on_change: OnChange | None = None,
        record: Path | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._listeners: list[OnChange] = [on_change] if on_change else []
        self._record = record
        self._report = report
        self._documents = DocumentWriter(self._later, self._report_line)
        self._children: dict[str, SupervisedProcess] = {}
        self._batches: list[list[str]] = []
        self._lock = threading.Lock()
        self._pids: dict[str, int | None] = {}
        self._inbox: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closing = threading.Event()
        self._guard = Guard()
        self._thread = threading.Thread(target=self._monitor, name="supervisor", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_listener(self, on_change: OnChange) -> None:
        """Calls this too from now on, as described for `on_change`."""
        self._call(lambda: self._listeners.append(on_change))

    def start(self, spec: ProcessSpec) -> None:
        """Starts a process.

        Raises:
            InvalidInput: one of this name is kept already; nothing was started.
            Unavailable: its log can't be written.
        """
        self.start_all([spec])

    def start_all(self, specs: Iterable[ProcessSpec]) -> None:
        """Starts processes in order; those of one call are also stopped together. Raises as `start` does."""
        wanted = list(specs)
        self._call(lambda: self._add(wanted))

    def stop(self, name: str) -> None:
        """Stops a process and forgets it: its `stop_signal`, then SIGKILL after its `stop_timeout_s`; waits.

        Raises:
            InvalidInput: there is none of this name.
        """
        self._call(lambda: self._begin_stop(self._known(name))).result()

    def stop_all(self, names: Iterable[str]) -> None:
        """Stops processes together, each as `stop` does; waits for all.

        Raises:
            InvalidInput: there is none of one of these names; nothing was stopped.
        """
        self._stop_together([self._known(name) for name in names])

    def pids(self) -> dict[str, int | None]:
        """The pid of each process that is kept, None while it is down."""
        with self._lock:
            return dict(self._pids)

    def restarts(self, name: str) -> int:
        """How often a process has been started again.

        Raises:
            InvalidInput: there is none of this name.
        """
        return self._known(name).restarts

    def exit_code(self, name: str) -> int | None:
        """How a process ended, -n where signal n ended it; None while it runs.

        Raises:
            InvalidInput: there is none of this name.
        """
        child = self._known(name)
        return child.exit_code if child.process is None else None

    def wait_ready(self, names: Iterable[str], timeout_s: float) -> None:
        """Waits until all of these are ready.

        Raises:
            Unavailable: one is not within `timeout_s` seconds, or has ended for good, or ends again and
            again;
                the message has its exit code and the end of its log.
        """
        deadline_s = time.monotonic() + timeout_s
        for child in [self._known(name) for name in names]:
            while not child.is_ready():
                if child.has_failed():
                    raise Unavailable(child.problem("can't be kept running"))
                if time.monotonic() >= deadline_s:
                    raise Unavailable(child.problem(f"was not ready within {timeout_s:g} s"))
                if self._closing.wait(_READY_INTERVAL_S):
                    raise Unavailable(child.problem("was stopped before it was ready"))

    def write_document(self, path: Path, write: Callable[[], None]) -> None:
        """Writes a document about the processes; where that fails it is tried again until it succeeds.

        Args:
            path: of the document.
            write: writes its newest content; raises OSError where it can't. On the supervisor's thread.
        """
        self._call(lambda: self._documents.write(path, write))

    def kill_one(self, name: str) -> None:
        """Kills a process and its group at once (SIGKILL); it ends as if by itself, and is kept.

        Raises:
            InvalidInput: there is none of this name.
        """
        child = self._known(name)

        def act() -> None:
            if child.process is not None:
                signal_group(child.process, signal.SIGKILL)

        self._call(act)

    def kill(self) -> None:
        """Kills every process and its group at once, without waiting for anything: end this process then."""
        for pid in list(self._pids.values()):
            if pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)

    def close(self) -> None:
        """Stops everything, what was started last first, and ends the supervisor; may be repeated."""
        if self._closing.is_set():
            return
        self._closing.set()
        for batch in reversed(self._batches):
            self._stop_together([self._children[name] for name in reversed(batch) if name in self._children])
        self._inbox.put(None)
        self._thread.join()
        self._guard.close()
        if self._record is not None:
            # A record that stays is of processes that are gone, which `kill_leftovers` sees.
            with contextlib.suppress(OSError):
                self._record.unlink(missing_ok=True)

    def _stop_together(self, children: list[SupervisedProcess]) -> None:
        for stopped in self._call(lambda: [self._begin_stop(child) for child in children]):
            stopped.result()

    def _known(self, name: str) -> SupervisedProcess:
        child = self._children.get(name)
        if child is None:
            message = f"no process is called {name!r}; there are {', '.join(list(self._children)) or 'none'}"
            raise InvalidInput(message)
        return child

    def _call(self, act: Callable[[], T]) -> T:
        """What `act` returns or raises, on the monitor's thread."""
        if threading.current_thread() is self._thread:
            return act()
        if not self._thread.is_alive():
            message = "the supervisor is closed; make a new one"
            raise InvalidInput(message)
        answer: Future[T] = Future()
        self._inbox.put(lambda: _fulfil(answer, act))
        return answer.result()

    # From here on everything runs on the monitor's thread.

    def _monitor(self) -> None:
        while (act := self._next()) is not None:
            try:
                act()
            except Exception:
                # One process's trouble must not end the care for all others.
                _log.exception("the supervisor failed at a task")

    def _next(self) -> Callable[[], object] | None:
        """The next thing to do, once there is one; None at the end."""
        if self._timers:
            try:
                return self._inbox.get(timeout=max(0.0, self._timers[0][0] - time.monotonic()))
            except queue.Empty:
                return heapq.heappop(self._timers)[2]
        return self._inbox.get()

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), act))

    def _add(self, specs: list[ProcessSpec]) -> None:
        taken = [spec.name for spec in specs if spec.name in self._children]
        if taken or len({spec.name for spec in specs}) < len(specs):
            message = (
                f"process names must differ from one another and from {sorted(self._children)}; got {taken}"
            )
            raise InvalidInput(message)
        self._batches.append([])
        for spec in specs:
            child = SupervisedProcess(spec)
            self._launch(child)
            self._children[spec.name] = child
            self._batches[-1].append(spec.name)

    def _launch(self, child: SupervisedProcess) -> None:
        process = start_process(child.spec)
        self._guard.watch(process.pid)
        try:
            threading.Thread(target=self._await_end, args=(child, process), daemon=True).start()
        except RuntimeError as error:
            # Nobody would notice its end.
            signal_group(process, signal.SIGKILL)
            process.wait()
            self._guard.release(process.pid)
            message = f"{child.spec.name} can't be watched ({error}); this machine allows no more threads"
            raise Unavailable(message) from error
        child.process = process
        child.started_s = time.monotonic()
        self._changed(child.spec.name, process.pid)

    def _await_end(self, child: SupervisedProcess, process: subprocess.Popen[bytes]) -> None:
        """Runs on a thread of its own, asleep until the process has ended."""
        if sys.platform == "darwin":
            process.wait()
        else:
            # The pid stays taken until the monitor reaps it, so no signal can hit another process.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._inbox.put(lambda: self._ended(child, process))

    def _ended(self, child: SupervisedProcess, process: subprocess.Popen[bytes]) -> None:
        signal_group(process, signal.SIGKILL)
        child.exit_code = process.wait()
        child.process = None
        self._guard.release(process.pid)
        if child.stopped is not None:
            self._forget(child)
            return
        self._changed(child.spec.name, None)
        if child.spec.restart == "always":
            self._schedule(child)

    def _schedule(self, child: SupervisedProcess) -> None:
        if time.monotonic() - child.started_s >= STEADY_AFTER_S:
            child.delay_s = FIRST_DELAY_S
        _log.warning(
            "%s ended with exit code %s; again in %.1f s", child.spec.name, child.exit_code, child.delay_s
        )
        self._later(child.delay_s, lambda: self._restart(child))
        child.delay_s = min(child.delay_s * 2, MAX_DELAY_S)

    def _restart(self, child: SupervisedProcess) -> None:
        if child.stopped is not None:
            return
        child.restarts += 1
        try:
            self._launch(child)
        except Unavailable as error:
            _log.error("%s", error)
            self._schedule(child)

    def _begin_stop(self, child: SupervisedProcess) -> Future[None]:
        if child.stopped is not None:
            return child.stopped
        stopped: Future[None] = Future()
        child.stopped = stopped
        process = child.process
        if process is None:
            self._forget(child)
            return stopped
        # One that is paused would not see the signal.
        signal_group(process, signal.SIGCONT)
        terminate(process, child.spec.stop_signal)
        self._later(child.spec.stop_timeout_s, lambda: self._kill_if_there(child, process))
        return stopped

    def _kill_if_there(self, child: SupervisedProcess, process: subprocess.Popen[bytes]) -> None:
        if child.process is process:
            spec = child.spec
            _log.warning(
                "%s did not follow %s within %g s", spec.name, spec.stop_signal.name, spec.stop_timeout_s
            )
            signal_group(process, signal.SIGKILL)

    def _forget(self, child: SupervisedProcess) -> None:
        del self._children[child.spec.name]
        self._changed(child.spec.name, None, forget=True)
        assert child.stopped is not None
        child.stopped.set_result(None)

    def _changed(self, name: str, pid: int | None, *, forget: bool = False) -> None:
        with self._lock:
            self._pids[name] = pid
            if forget:
                del self._pids[name]
        if self._record is not None:
            self._documents.write(self._record, self._write_record)
        for listener in self._listeners:
            try:
                listener(name, pid)
            except Exception:
                # A listener's defect must not end the care for all processes.
                _log.exception("a listener failed on %s", name)

    def _write_record(self) -> None:
        assert self._record is not None
        write_record(self._record, {name: pid for name, pid in self.pids().items() if pid is not None})

    def _report_line(self, line: str) -> None:
        _log.warning("%s", line)
        if self._report is not None:
            try:
                self._report(line)
            except Exception:
                # The listener may be gone, as a closed terminal is.
                _log.exception("a line could not be reported")


def _fulfil(answer: Future[T], act: Callable[[], T]) -> None:
    try:
        answer.set_result(act())
    except Exception as error:
        # Not swallowed: it is raised where `act` was asked for.
        answer.set_exception(error)
