"""What is deployed, as it lies on the topics, made ready to run."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from microservo.adapters.archive import unpack
from microservo.adapters.broker import Broker
from microservo.adapters.files import write_whole
from microservo.algorithms.declaration import declaration_of
from microservo.algorithms.spec import SHIPPED, Plugin
from microservo.log.algorithm_files import read_file
from schemas.records import AlgorithmDeployment


def plugin_of(deployment: AlgorithmDeployment, broker: Broker, files_topic: str, folder: Path) -> Plugin:
    """The deployment's code, unpacked in a folder, and its declaration.

    Args:
        deployment: what runs.
        broker: where its files are.
        files_topic: physical name of `algorithm-files`.
        folder: for code; what lies there from before is used where it is the same.

    Raises:
        InvalidInput, InvalidMessage: its files are not there, or can't be unpacked.
        Retryable: the broker is away for now.
    """
    return Plugin(
        declaration=declaration_of(json.loads(deployment.declaration)),
        source=deployment.source,
        code=_code(deployment, broker, files_topic, folder),
    )


def _code(
    deployment: AlgorithmDeployment, broker: Broker, files_topic: str, folder: Path
) -> tuple[Path, ...]:
    if deployment.source == "shipped":
        return (SHIPPED,)
    if not deployment.files_sha256:
        return ()
    code, archive = folder / "code", folder / "code.zip"
    folder.mkdir(parents=True, exist_ok=True)
    if _sha256(archive) != deployment.files_sha256:
        write_whole(archive, read_file(broker, files_topic, deployment.files_sha256))
    shutil.rmtree(code, ignore_errors=True)
    unpack(archive, code)
    # An ordinary user reads it behind the fence.
    for path in (code, *code.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tuple(sorted(code.iterdir()))


def _sha256(path: Path) -> str:
    """Of a file's content; empty where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
