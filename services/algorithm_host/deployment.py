"""The deployment that a host is for."""

from __future__ import annotations

from pathlib import Path

from microservo.errors import InvalidInput
from schemas.codec import SchemaError, decode_as
from schemas.records import AlgorithmDeployment


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
