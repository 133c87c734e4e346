"""What is deployed, as it lies on the topics, made ready to run."""

from __future__ import annotations

from microservo.adapters.broker import Broker
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from schemas.catalogue import ALGORITHMS
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
