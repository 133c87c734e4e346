"""Evaluations of a run as they stand."""

from __future__ import annotations

from microservo.adapters.broker import Broker
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from schemas.catalogue import EVALUATIONS
from schemas.records import Evaluation


def evaluations(broker: Broker, run_id: str, topic_prefix: str = "") -> list[Evaluation]:
    """The newest evaluation of each algorithm of a run, by id; none where nobody ever judged.

    Raises:
        Retryable: the broker is away for now.
    """
    try:
        found = read_state(broker, topic_prefix + EVALUATIONS, Evaluation)
    except InvalidInput:
        # A broker from before there was a board has no such topic.
        return []
    return [each for _, each in sorted(found.items()) if each.run_id == run_id]
