"""What a placement policy is: it says where containers run and when that changes, and nothing else does so.

Commands of people are carried out under every policy, and what was begun is finished: the old container of a
migration is stopped, a launch that failed is tried on other hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from microservo.domain.geography import Coordinates
    from microservo.domain.manager.entities import Service
    from microservo.domain.manager.step import Step


class Policy(Protocol):
    """Decides from what a manager knows; pure, and one object for each manager.

    It may keep something from one call to the next, as long as that is a function of the calls and of its
    seed: told the same events again, it has to decide the same. What it decides, it does by the functions of
    `placing`, `service_decisions` and `host_decisions`, which never fill a host beyond its capacity, touch
    what others started, or move a container away from its volume.

    Attributes:
        name: as it is deployed; recorded with the decision to deploy it.
        keeps_minimum: services that have fewer replicas than their minimum get more, by the manager.
        recovers: containers that ended or lost their host are brought back, by the manager.
    """

    name: str
    keeps_minimum: bool
    recovers: bool

    def place(self, step: Step, service: Service) -> Coordinates:
        """Near where a container goes that the minimum of its service asks for."""
        ...

    def evaluate(self, step: Step) -> None:
        """Looks at what was measured and acts on it; called once in `Settings.evaluation_us` at the most.

        Args:
            step: the decision in the making. Whoever has looked at something new enters `step.now_us` as
                `step.state.evaluated_us`, from which the next call is counted.
        """
        ...


class Deployed:
    """Which policy decides; part of a manager's state."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        """None before the first event."""
        self.first = "rules"
        """The name of the one that the process was started with; settings that name one go before."""
        self.refused = ""
        """The one that settings name and that can't be had here."""
