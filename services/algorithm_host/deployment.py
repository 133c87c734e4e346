"""What is deployed, as it lies on the topics, made ready to run."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from microservo.adapters.broker import Broker
from microservo.adapters.files import write_whole
from microservo.algorithms.archive import unpack
from microservo.algorithms.declaration import declaration_of
from microservo.algorithms.spec import SHIPPED, Plugin
from microservo.errors import InvalidInput
from microservo.log.algorithm_files import read_file
from schemas.catalogue import ALGORITHM_FILES
from schemas.codec import SchemaError, decode_as
from schemas.records import AlgorithmDeployment
from services.algorithm_host.settings import AlgorithmHostSettings


def read_deployment(path: Path) -> AlgorithmDeployment:
    """The deployment that this host is for.

    From a file: its topic has the newest version only, and an older one runs until that has caught up.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return decode_as(AlgorithmDeployment, path.read_bytes())
    except (OSError, SchemaError) as error:
        msg = f"{path} holds no deployment ({error}); the runner writes one before it starts a host"
        raise InvalidInput(msg) from error


def plugin_of(deployment: AlgorithmDeployment, settings: AlgorithmHostSettings, broker: Broker) -> Plugin:
    """The deployment's code, unpacked, and its declaration.

    Raises:
        InvalidInput, InvalidMessage: its files are not there, or can't be unpacked.
        Retryable: the broker is away for now.
    """
    declaration = declaration_of(json.loads(deployment.declaration))
    return Plugin(declaration=declaration, source=deployment.source, code=_code(deployment, settings, broker))


def _code(
    deployment: AlgorithmDeployment, settings: AlgorithmHostSettings, broker: Broker
) -> tuple[Path, ...]:
    if deployment.source == "shipped":
        return (SHIPPED,)
    if not deployment.files_sha256:
        return ()
    folder = settings.algorithm_folder / "code"
    archive = settings.algorithm_folder / "code.zip"
    if _sha256(archive) != deployment.files_sha256:
        content = read_file(broker, settings.topic(ALGORITHM_FILES), deployment.files_sha256)
        write_whole(archive, content)
    shutil.rmtree(folder, ignore_errors=True)
    unpack(archive, folder)
    # An ordinary user reads it behind the fence.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tuple(sorted(folder.iterdir()))


def _sha256(path: Path) -> str:
    """Of a file's content; empty where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
