"""One fenced process from the host's side: its pipes, its log, what it uses, and why it ended.

::

    caller ── start ─► thread of the process: fork ─ handshake ─ watch: log, memory, CPU, files ─ end
       │                       │                        ▲
       └── stdin/stdout ──────►└── fence_entry.py ──exec┴─► the command

One thread forks and watches it: Linux reports to a child the end of the thread that forked it, not of the
process, so a child forked by a short thread would be killed with that.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.fence_limits import Limits
from microservo.supervision.fence_log import BoundedLog
from microservo.supervision.fence_meter import Meter
from microservo.supervision.fence_outcome import KilledFor, Outcome, end_in_words, exit_code_of
from microservo.supervision.fence_share import CpuShare
from microservo.supervision.fence_state import copy_out

START_TIMEOUT_S = 30.0
BEAT_S = 0.1
"""How often memory, CPU and files are looked at: what comes within one beat is bounded by rlimits alone."""

_LAST_BEAT_S = 0.01
_ENDING_TIMEOUT_S = 5.0
_CHUNK_BYTES = 1 << 16
_GO_ON = b"g"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a process is started, with a fence or without.

    Args:
        argv: the whole command, which runs `fence_entry.py` at first.
        environment: all of it.
        host: this side of the socket pair that `fence_entry.py` answers on.
        inherited: descriptors that the command inherits; closed here once it has them.
        meter: makes the meter of the pid, and of the folders that `fence_entry.py` sent.
        state: takes the folder that is copied out from those.
        at_end: what must be done when all processes are gone.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    host: socket.socket
    inherited: tuple[int, ...]
    meter: Callable[[int, Sequence[int]], Meter]
    state: Callable[[Sequence[int]], int]
    at_end: Callable[[], None] = lambda: None


class FencedProcess:
    """A process that may do what it likes, within its fence; may be used from any thread.

    Args:
        stdin: what it reads; binary and unbuffered.
        stdout: what it writes; binary and unbuffered.
        log: what it wrote to stderr; what came before stands in `<log>.1`.
        pid: on this machine.
        holds: what the fence holds, in words, for the board.
    """

    def __init__(self, launch: Launch, *, limits: Limits, log: Path, holds: tuple[str, ...]) -> None:
        self.log = log
        self.holds = holds
        self._launch = launch
        self._limits = limits
        self._lock = threading.Lock()
        self._killed: tuple[KilledFor, str] | None = None
        self._cpu_s = 0.0
        self._counted_s = 0.0
        self._paused_s = 0.0
        self._is_over_share = False
        self._is_stopped = False
        self._is_held = False
        self._looked_s = time.monotonic()
        self._share = CpuShare(limits.cpus, self._looked_s)
        self._peak_memory_bytes = 0
        self._folders: list[int] = []
        self._process: subprocess.Popen[bytes]
        self._meter: Meter
        self._bounded_log: BoundedLog
        self._outcome: Future[Outcome] = Future()
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="fenced process", daemon=True)
        self._thread.start()
        started.result()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin: IO[bytes] = self._process.stdin
        self.stdout: IO[bytes] = self._process.stdout
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._outcome.result() if self._outcome.done() else None

    def cpu_s(self) -> float:
        """CPU seconds of all its processes, at most `BEAT_S` old."""
        return self._cpu_s

    def paused_s(self) -> float:
        """How long it was made to pause, since it used more than its share of the processors."""
        return self._paused_s

    def peak_memory_bytes(self) -> int:
        """The most that all its processes had resident at a beat."""
        return self._peak_memory_bytes

    @contextmanager
    def held(self) -> Iterator[None]:
        """All its processes stand still until the end of the block, from `BEAT_S` after its begin at most."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def kill(self, reason: str = "was stopped") -> None:
        """Kills all its processes at once; `wait` tells when they are gone. No error where it has ended.

        Args:
            reason: for the outcome, as "took longer than 2 s for a window".
        """
        self._kill("asked", reason)

    def wait(self, timeout_s: float | None = None) -> Outcome:
        """How it ended, once none of its processes is left.

        Raises:
            TimeoutError: it still runs after `timeout_s` seconds.
        """
        return self._outcome.result(timeout_s)

    def copy_state(self, target: Path) -> tuple[str, ...]:
        """Copies the state folder out, while it runs or after; raises and returns as `copy_out`.

        Raises:
            InvalidInput: it is closed; besides what `copy_out` raises.
        """
        if not self._folders:
            message = f"the process {self.pid} is closed, and its state gone; copy before that"
            raise InvalidInput(message)
        return copy_out(
            self._launch.state(self._folders),
            target,
            max_bytes=self._limits.disk_bytes,
            max_files=self._limits.files,
        )

    def close(self) -> None:
        """Kills it, waits for the end, and lets go of pipes and state; may be repeated."""
        self.kill()
        self._thread.join()
        for pipe in (self.stdin, self.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                # Nobody is there to read what was not sent yet.
                continue
        while self._folders:
            os.close(self._folders.pop())
        self._launch.at_end()

    # From here on everything runs on the thread of the process, but for `_kill`.

    def _run(self, started: Future[None]) -> None:
        try:
            self._start()
        except BaseException as error:
            # Not swallowed: it is raised where the process was asked for.
            self._launch.at_end()
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            self._watch()
        except Exception:
            # What can't be watched may not run.
            _log.exception("the fenced process %s can't be watched any longer", self.pid)
            self._kill("asked", "could not be watched any longer; the log of the host says why")
        self._outcome.set_result(self._end())

    def _start(self) -> None:
        try:
            self._bounded_log = BoundedLog(
                self.log,
                quota_bytes=self._limits.output_bytes,
                bytes_per_s=self._limits.output_bytes_per_s,
            )
            self._process = self._fork()
        except OSError as error:
            self._launch.host.close()
            message = f"{self._launch.argv[0]} can't be started with the log {self.log}: {error}"
            raise Unavailable(message) from error
        finally:
            for descriptor in self._launch.inherited:
                os.close(descriptor)
        try:
            self._shake_hands()
        except BaseException:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                assert pipe is not None
                pipe.close()
            self._bounded_log.close()
            raise
        finally:
            self._launch.host.close()

    def _fork(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._launch.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=dict(self._launch.environment),
            cwd=os.path.sep,
            start_new_session=True,
            pass_fds=self._launch.inherited,
        )

    def _shake_hands(self) -> None:
        """Gets the open folders of the fence, and lets the command begin."""
        host = self._launch.host
        host.settimeout(START_TIMEOUT_S)
        try:
            ready, folders, _, _ = socket.recv_fds(host, 1, 8)
        except TimeoutError as error:
            message = f"a process did not begin within {START_TIMEOUT_S:g} s; this machine is too busy"
            raise Unavailable(message) from error
        if not ready:
            assert self._process.stderr is not None
            said = self._process.stderr.read(_CHUNK_BYTES).decode("utf-8", "replace").strip()
            message = f"a process can't be started: {said or 'it ended at once'}"
            raise Unavailable(message)
        self._folders = folders
        self._meter = self._launch.meter(self._process.pid, folders)
        host.send(_GO_ON)

    def _watch(self) -> None:
        """Until the process has ended: keeps its log, and looks at what it uses at each beat."""
        assert self._process.stderr is not None
        stderr = self._process.stderr.fileno()
        poller = select.poll()
        poller.register(stderr, select.POLLIN)
        beat_s, next_s = BEAT_S, 0.0
        while not self._has_ended():
            now_s = time.monotonic()
            if now_s >= next_s:
                self._look()
                next_s = now_s + beat_s
            if not poller.poll(max(0.0, next_s - now_s) * 1000):
                continue
            if not self._keep_output(os.read(stderr, _CHUNK_BYTES)):
                # Nobody holds it any more, so the end is near.
                poller.unregister(stderr)
                beat_s = _LAST_BEAT_S
        self._keep_rest(stderr)

    def _keep_output(self, data: bytes) -> bool:
        if data and not self._bounded_log.write(data, time.monotonic()):
            limits = self._limits
            self._kill(
                "output",
                f"wrote {self._bounded_log.total_bytes} bytes to stderr; it may write {limits.output_bytes}"
                f" at once and {limits.output_bytes_per_s} a second",
            )
        return bool(data)

    def _keep_rest(self, stderr: int) -> None:
        """What is left in the pipe, which is not much; others may hold its other end."""
        os.set_blocking(stderr, False)
        try:
            while self._killed is None and self._keep_output(os.read(stderr, _CHUNK_BYTES)):
                pass
        except BlockingIOError:
            return

    def _look(self) -> None:
        limits = self._limits
        usage = self._meter.usage(exact_above_bytes=limits.memory_bytes)
        # What was used by a child that nobody waited for is gone from the sum once it has ended.
        self._cpu_s += max(0.0, usage.cpu_s - self._counted_s)
        self._counted_s = usage.cpu_s
        self._peak_memory_bytes = max(self._peak_memory_bytes, usage.memory_bytes)
        if usage.memory_bytes > limits.memory_bytes:
            self._kill(
                "memory", f"had {_mib(usage.memory_bytes)} of memory; it may have {_mib(limits.memory_bytes)}"
            )
        elif usage.files > limits.files:
            self._kill("files", f"made {usage.files} files; it may have {limits.files}")
        elif limits.cpu_seconds is not None and self._cpu_s > limits.cpu_seconds:
            self._kill("cpu", f"used {self._cpu_s:.1f} s of CPU; it may use {limits.cpu_seconds} s")

        self._keep_share(time.monotonic())

    def _keep_share(self, now_s: float) -> None:
        """Stops it while it is held or has used more than its share; each time, since it may have forked."""
        if self._is_over_share:
            self._paused_s += now_s - self._looked_s
        self._looked_s = now_s
        self._is_over_share = self._share.is_exceeded(self._cpu_s, now_s)
        shall_stop = self._is_held or self._is_over_share
        if shall_stop:
            self._meter.signal(signal.SIGSTOP)
        elif self._is_stopped:
            self._meter.signal(signal.SIGCONT)
        self._is_stopped = shall_stop

    def _kill(self, what_for: KilledFor, reason: str) -> None:
        with self._lock:
            # After the end, the pid may be another's.
            if self._process.returncode is None:
                self._killed = self._killed or (what_for, reason)
                self._meter.signal(signal.SIGKILL)

    def _has_ended(self) -> bool:
        if sys.platform == "darwin":
            return self._process.poll() is not None
        # The pid stays taken until `_end` reaps it, so no signal can hit another process.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _end(self) -> Outcome:
        with self._lock:
            self._meter.signal(signal.SIGKILL)
            code = self._process.wait()
        deadline_s = time.monotonic() + _ENDING_TIMEOUT_S
        while self._meter.processes() and time.monotonic() < deadline_s:
            time.sleep(_LAST_BEAT_S)
        self._bounded_log.close()
        assert self._process.stderr is not None
        self._process.stderr.close()
        code = exit_code_of(code)
        return Outcome(
            reason=self._killed[1] if self._killed else end_in_words(code, self._limits, self.log),
            exit_code=code,
            killed_for=self._killed[0] if self._killed else None,
            cpu_s=self._cpu_s,
            peak_memory_bytes=self._peak_memory_bytes,
            output_bytes=self._bounded_log.total_bytes,
        )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.0f} MiB"
