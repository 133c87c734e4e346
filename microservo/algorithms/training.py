"""What a classifier is taught by: cases of a recorded run with their kinds, as one file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microservo.adapters.broker import Broker
from microservo.adapters.files import write_whole
from microservo.algorithms.session import Case, Session
from microservo.errors import InvalidInput, InvalidMessage
from microservo.log.algorithm_files import read_file
from schemas.records import AlgorithmDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A case whose answer is known.

    Attributes:
        case: what was seen, of the services at which something was.
        kind: of failure.
    """

    case: Case
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Lessons of one run.

    Attributes:
        run_id: which run; who is taught by it can't be judged on it.
        lessons: in the order in which they are taught.
    """

    run_id: str
    lessons: Sequence[Lesson]

    def check(self, scored_run_id: str) -> None:
        """Checks that a run is not the one that the lessons are of.

        Raises:
            InvalidInput: it is: every answer would be known before.
        """
        if scored_run_id == self.run_id:
            msg = (
                f"it was trained on run {self.run_id!r}, the one that it would be judged on; train it on "
                "another one"
            )
            raise InvalidInput(msg)

    def teach(self, session: Session, scored_run_id: str) -> None:
        """Teaches a classifier, which is then asked about a run.

        Raises:
            InvalidInput: it is the run that the lessons are of.
            AlgorithmFailed: it can't learn from them.
        """
        self.check(scored_run_id)
        session.train([(each.case, each.kind) for each in self.lessons])

    def pack(self) -> bytes:
        """The lessons as bytes: a line of JSON, then all values, compressed."""
        header = {"run_id": self.run_id, "lessons": [_described(each) for each in self.lessons]}
        parts = [json.dumps(header).encode(), b"\n"]
        for each in self.lessons:
            parts.append(each.case.start_us.astype("<i8").tobytes())
            parts += (np.ascontiguousarray(rows, "<f8").tobytes() for _, rows in each.case.features.values())
        return zlib.compress(b"".join(parts))

    @classmethod
    def unpack(cls, content: bytes) -> Training:
        """The lessons of a file.

        Raises:
            InvalidMessage: it is none.
        """
        try:
            line, _, values = zlib.decompress(content).partition(b"\n")
            header = json.loads(line)
            lessons, begin = [], 0
            for described in header["lessons"]:
                lesson, begin = _read(described, values, begin)
                lessons.append(lesson)
            return cls(run_id=header["run_id"], lessons=lessons)
        except (zlib.error, ValueError, KeyError, TypeError, InvalidInput) as error:
            msg = f"training data that can't be read ({error}); deploy it again with --train-on"
            raise InvalidMessage(msg) from error


def read_training(
    deployment: AlgorithmDeployment, broker: Broker, files_topic: str, folder: Path
) -> Training | None:
    """What a deployed classifier is trained on; None where it isn't.

    Args:
        deployment: what runs.
        broker: where its files are.
        files_topic: physical name of `algorithm-files`.
        folder: for what was read: it may be gone from there when the next version is deployed.

    Raises:
        InvalidMessage: it is not there, or not whole.
        Retryable: the broker is away for now.
    """
    if not deployment.training_sha256:
        return None
    kept = folder / f"training-{deployment.training_sha256[:16]}"
    if not kept.exists():
        write_whole(kept, read_file(broker, files_topic, deployment.training_sha256))
    return Training.unpack(kept.read_bytes())


def _described(lesson: Lesson) -> dict[str, Any]:
    return {
        "alarm_us": lesson.case.alarm_us,
        "windows": len(lesson.case.start_us),
        "services": [[service, list(names)] for service, (names, _) in lesson.case.features.items()],
        "kind": lesson.kind,
    }


def _read(described: Mapping[str, Any], values: bytes, begin: int) -> tuple[Lesson, int]:
    """A lesson, and where the next one begins."""
    windows = int(described["windows"])
    end = begin + windows * 8
    start_us = np.frombuffer(values[begin:end], "<i8").astype(np.int64)
    features = {}
    for service, names in described["services"]:
        begin, end = end, end + windows * len(names) * 8
        rows = np.frombuffer(values[begin:end], "<f8").reshape(windows, len(names))
        features[service] = tuple(names), rows.astype(np.float64)
    case = Case(alarm_us=int(described["alarm_us"]), start_us=start_us, features=features)
    return Lesson(case=case, kind=described["kind"]), end
