"""The control that does nothing: what people launch stays where it is, and what ends stays away."""

from __future__ import annotations

from microservo.domain.geography import Coordinates
from microservo.domain.manager.entities import Service
from microservo.domain.manager.step import Step


class NothingPolicy:
    """Carries out commands and decides nothing of itself: no rules, no minimum, no recovery.

    Containers that end are recorded as down, so that the next policy that recovers brings them back.

    Args:
        seed: unused.
    """

    name = "nothing"
    keeps_minimum = False
    recovers = False

    def __init__(self, seed: int) -> None:
        del seed

    def place(self, step: Step, service: Service) -> Coordinates:
        """Never asked for, as no minimum is kept: where settings say."""
        del service
        return Coordinates(step.state.settings.latitude, step.state.settings.longitude)

    def evaluate(self, step: Step) -> None:
        """Nothing."""
