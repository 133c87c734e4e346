"""The embedded broker as a child of this process: for tests and for simple use."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from microservo.adapters.kafka.embedded.broker import EmbeddedBroker
from microservo.adapters.kafka.embedded.download import Progress, default_cache_dir
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import Guard, child_environment
from microservo.errors import Unavailable

_LOG_TAIL_LINES = 15


class BrokerProcess:
    """One embedded broker that this process starts, kills and starts again, on the same data and ports.

    It does not outlive this process, however that ends.

    Args:
        broker: prepared.
        log: where the broker's output goes, appended.
        start_timeout_s: how long a start may take, in seconds.
        stop_timeout_s: how long an orderly stop may take before it is killed, in seconds.
    """

    def __init__(
        self, broker: EmbeddedBroker, *, log: Path, start_timeout_s: float = 60, stop_timeout_s: float = 20
    ) -> None:
        self._broker = broker
        self._log = log
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What clients take as bootstrap servers."""
        return self._broker.bootstrap_servers

    @property
    def pid(self) -> int | None:
        """The broker's process id, None while it is down."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts the broker and returns once it is ready.

        Raises:
            Unavailable: it stopped again, or was not ready in time; the message ends with its last log lines.
        """
        with self._log.open("ab") as out:
            # A group of its own: Ctrl-C reaches us, and we stop the broker in order. When we are killed
            # ourselves, the guard does it.
            self._process = subprocess.Popen(
                self._broker.argv(),
                cwd=self._broker.folder,
                env=child_environment(self._broker.environment()),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._guard = self._guard or Guard()
            self._guard.watch(self._process.pid)
            self._wait_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Kills the broker at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._guard is not None:
                self._guard.release(self._process.pid)
            self._process = None

    def stop(self) -> None:
        """Stops the broker in order, or kills it when that takes too long."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._stop_timeout_s)
            self.kill()
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline:
            if self._broker.ready(0.5):
                return
            if process.poll() is not None:
                msg = f"the embedded broker stopped with exit code {process.returncode}:\n{self._log_tail()}"
                raise Unavailable(msg)
        msg = f"the embedded broker was not ready after {self._start_timeout_s} s:\n{self._log_tail()}"
        raise Unavailable(msg)

    def _log_tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])


@contextlib.contextmanager
def running_broker(
    data_dir: Path,
    *,
    port: int | None = None,
    controller_port: int | None = None,
    cache_dir: Path | None = None,
    heap_mb: int = 160,
    progress: Progress = lambda done, total: None,
) -> Iterator[BrokerProcess]:
    """A broker on `data_dir` that runs for as long as the context lasts, on free ports by default.

    Raises:
        Unavailable: it can't be fetched or does not start.
    """
    free_port, free_controller_port = free_ports(2)
    broker = EmbeddedBroker(
        data_dir,
        port=port or free_port,
        controller_port=controller_port or free_controller_port,
        cache_dir=cache_dir or default_cache_dir(),
        heap_mb=heap_mb,
    )
    broker.prepare(progress)
    process = BrokerProcess(broker, log=data_dir / "broker.log")
    try:
        process.start()
        yield process
    finally:
        process.stop()
