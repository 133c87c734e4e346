"""The fault injector's decisions: what happens goes in, what is to be done comes out.

::

    Event ─► decide(state, event) ─► (state', actions) ─► the process publishes, acts, waits ─► Event

No clock, no thread, no broker: every event says when it was learnt. The process around it owes three things:
it carries out actions in their order, it applies nothing before all that was published is durable, and it
reports what came of each action on an instance with exactly one event.
"""

from __future__ import annotations

from microservo.domain.faults.decider.actions import Action
from microservo.domain.faults.decider.decide import decide
from microservo.domain.faults.decider.events import Event
from microservo.domain.faults.decider.state import CLOSED_KEPT, InjectorState

__all__ = ["CLOSED_KEPT", "Action", "Event", "InjectorState", "decide"]
