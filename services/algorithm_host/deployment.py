"""What is deployed, as it lies on the topics, made ready to run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from microservo.adapters.broker import Broker
from microservo.algorithms.archive import unpack
from microservo.algorithms.declaration import declaration_of
from microservo.algorithms.spec import SHIPPED, Plugin
from microservo.errors import InvalidInput
from microservo.log.algorithm_files import read_file
from microservo.log.reader import read_state
from schemas.catalogue import ALGORITHM_FILES, ALGORITHMS
from schemas.records import AlgorithmDeployment
from services.algorithm_host.settings import AlgorithmHostSettings


def read_deployment(settings: AlgorithmHostSettings, broker: Broker) -> AlgorithmDeployment:
    """The deployment that this host is for.

    Raises:
        InvalidInput: it was removed, or replaced by another version.
        Retryable: the broker is away for now.
    """
    found = read_state(broker, settings.topic(ALGORITHMS), AlgorithmDeployment).get(settings.algorithm)
    if found is None or found.version != settings.algorithm_version:
        now = "it was removed" if found is None else f"it is at version {found.version}"
        msg = f"no deployment of {settings.algorithm!r} in version {settings.algorithm_version}: {now}"
        raise InvalidInput(msg)
    return found


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
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(read_file(broker, settings.topic(ALGORITHM_FILES), deployment.files_sha256))
    shutil.rmtree(folder, ignore_errors=True)
    unpack(archive, folder)
    # An ordinary user reads it behind the fence.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tuple(sorted(folder.iterdir()))
