"""A world in virtual time that a decider runs: hosts, containers, demand and failures, answered with events.

Nothing of it is real, but the decisions are: they come from the very `decide` that a manager runs.
"""

from microservo.domain.manager.simulation.demand import Demand, Origin
from microservo.domain.manager.simulation.fleet import fleet
from microservo.domain.manager.simulation.world import Delays, World

__all__ = ["Delays", "Demand", "Origin", "World", "fleet"]
