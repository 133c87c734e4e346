"""A real Elasticsearch: server core and HTTP layer of Maven's artefacts, with a launcher of the tests' own.

It has no security, no ingest pipelines and no scripts; what those do is tested on a stub. The jars are
resolved by Maven and stay in the cache of the user; they are under Elastic's licences, in no package of ours.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest
from elasticsearch import ApiError, Elasticsearch, TransportError
from needed import cache
from real_prometheus import need

from microservo.adapters.ports import free_ports
from microservo.testing import eventually

VERSION = "8.19.21"
_SOURCES = Path(__file__).parent / "elasticsearch"
_PLUGINS = {
    "transport-netty4": "org.elasticsearch.transport.netty4.Netty4Plugin",
    "local-root": "local.RootPlugin",
}
_JAVA = (
    "-Xms256m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dlog4j2.disable.jmx=true",
)


def home() -> Path:
    """The folder of an assembled Elasticsearch; skips the test where it can't be assembled."""
    need("mvn", "javac", "java", packages="maven openjdk-17-jdk-headless")
    folder = cache() / "tests" / f"elasticsearch-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _assemble(folder)
            (folder / "ready").touch()
    return folder


def _assemble(folder: Path) -> None:
    for name in ("lib", "launch", "config", "plugins", "logs", *(f"modules/{name}" for name in _PLUGINS)):
        (folder / name).mkdir(parents=True)
    maven = [
        "mvn",
        "-B",
        "-q",
        "-f",
        str(_SOURCES / "pom.xml"),
        f"-Des={VERSION}",
        f"-Dhome={folder}",
        "package",
    ]
    subprocess.run(maven, check=True)
    for name, plugin in _PLUGINS.items():
        described = {
            "name": name,
            "description": name,
            "version": VERSION,
            "elasticsearch.version": VERSION,
            "java.version": "17",
            "classname": plugin,
        }
        text = "".join(f"{key}={value}\n" for key, value in described.items())
        (folder / "modules" / name / "plugin-descriptor.properties").write_text(text)
    _compile(folder, "EsNode.java", folder / "launch" / "es-node.jar")
    _compile(folder, "local/RootPlugin.java", folder / "modules" / "local-root" / "local-root.jar")


def _compile(folder: Path, source: str, jar: Path) -> None:
    with tempfile.TemporaryDirectory() as classes:
        java = ["javac", "-nowarn", "--release", "17", "-cp", f"{folder}/lib/*", "-d", classes]
        subprocess.run([*java, str(_SOURCES / source)], check=True, capture_output=True)
        subprocess.run(["jar", "cf", str(jar), "-C", classes, "."], check=True)


@dataclass
class RealElasticsearch:
    """The process, and where it is."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Elasticsearch:
        return Elasticsearch(self.url, request_timeout=60, max_retries=0)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        where = home()
        settings = {
            "node.name": "test-node",
            "cluster.name": "tests",
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": self.port,
            "transport.port": 0,
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            "path.data": self.folder / "data",
            "path.logs": self.folder / "logs",
            # By default a PIT that is over lives on for up to a minute.
            "search.keep_alive_interval": "1s",
        }
        argv = ["java", *_JAVA, f"-Des.path.home={where}", f"-Djava.io.tmpdir={self.folder}"]
        argv += ["--module-path", f"{where}/lib", "--add-modules", "ALL-MODULE-PATH"]
        argv += ["-cp", f"{where}/launch/es-node.jar", "EsNode", str(where)]
        argv += [f"{name}={value}" for name, value in settings.items()]
        with (self.folder / "elasticsearch.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        # Some seconds of processor time, which on a machine with much else to do may take minutes.
        eventually(self._is_ready, timeout_s=400, what="an answer of Elasticsearch")

    def kill(self) -> None:
        """Ends it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def _is_ready(self) -> bool:
        with contextlib.suppress(TransportError, ApiError), self.client() as client:
            return bool(client.cluster.health(wait_for_status="yellow", timeout="10s"))
        return False


@contextlib.contextmanager
def real_elasticsearch(folder: Path) -> Iterator[RealElasticsearch]:
    """Runs it until the end of the context; skips the test where it can't be assembled."""
    folder.mkdir(parents=True, exist_ok=True)
    running = RealElasticsearch(folder, *free_ports(1))
    home()
    try:
        running.start()
        yield running
    finally:
        if running.process is not None:
            running.process.kill()
            running.process.wait(30)


if __name__ == "__main__":
    # Where something lacks, the tests say so.
    with contextlib.suppress(pytest.skip.Exception):
        home()
