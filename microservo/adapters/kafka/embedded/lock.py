"""The committed list of what the embedded broker is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

KAFKA_VERSION = "4.3.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One jar: its Maven coordinate and the SHA-256 that it must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """The jar's name, as Maven gives it."""
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def parse(text: str) -> list[Pin]:
    """The pins of a lock: one line `group:artifact:version sha256` each, `#` for comments."""
    lines = (line.strip() for line in text.splitlines())
    return [_pin(line) for line in lines if line and not line.startswith("#")]


def _pin(line: str) -> Pin:
    coordinate, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return Pin(group=group, artifact=artifact, version=version, sha256=sha256)


def kafka_pins() -> list[Pin]:
    """The jars of Apache Kafka, as shipped with this package."""
    lock = resources.files("microservo.adapters.kafka") / f"kafka-{KAFKA_VERSION}.lock"
    return parse(lock.read_text(encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
