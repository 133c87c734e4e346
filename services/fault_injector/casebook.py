"""All faults by id: the stories ever told, and those that are still in hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from microservo.domain.faults.lifecycle import FaultStory
from schemas.records import FaultEvent, FaultRequest, FaultState
from services.fault_injector.journal import Journal
from services.fault_injector.open_fault import OpenFault


class Casebook:
    """Every step is entered here and told to the journal; belongs to the injector's thread.

    Attributes:
        stories: of all faults, by id.
        requests: the request that each fault began with, as far as known.
        open: faults that are not over, or not finally judged.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.stories: dict[str, FaultStory] = {}
        self.requests: dict[str, FaultRequest] = {}
        self.open: dict[str, OpenFault] = {}

    @property
    def is_at_rest(self) -> bool:
        """Whether every fault is over."""
        return all(fault.story.is_over for fault in self.open.values())

    def owned(self, instance: str) -> Mapping[str, str]:
        """Kinds by id of the faults that should be in force on an instance; any thread may ask."""
        # list() is one step of the interpreter, so the loop's thread can't change the dict meanwhile.
        return {
            fault.id: fault.fault.kind for fault in list(self.open.values()) if fault.is_in_force(instance)
        }

    def begin(self, fault: OpenFault, request: FaultRequest) -> None:
        """Enters a fault that was just accepted."""
        self.requests[fault.id] = request
        self.stories[fault.id] = fault.story
        self.open[fault.id] = fault

    def set_story(self, story: FaultStory) -> None:
        """Replaces the story of a fault."""
        fault_id = story.whole.fault_id
        self.stories[fault_id] = story
        if fault_id in self.open:
            self.open[fault_id].story = story

    def advance(
        self, fault: OpenFault, instance: str, state: FaultState, at_us: int, **changes: Any
    ) -> FaultEvent:
        """Enters the next step of a fault; the event it gives is still to be told."""
        self.set_story(fault.story.advance(instance, state, at_us, **changes))
        return fault.event(instance)

    def tell(
        self, fault: OpenFault, events: Sequence[FaultEvent], *, confirmed_at_us: int | None = None
    ) -> None:
        """Tells steps of a fault, also to every service that it concerns."""
        faults = fault.story.service_faults(fault.affected)
        self._journal.tell(events, faults, confirmed_at_us=confirmed_at_us)

    def tell_alone(self, event: FaultEvent) -> None:
        """Tells an event that concerns no service: a refusal."""
        self._journal.tell([event])

    def close(self, fault: OpenFault) -> None:
        """Lets go of a fault of which nothing more will be heard."""
        self.open.pop(fault.id, None)
