"""A fault that the injector has in hand: its story, whom it concerns, and what is going on right now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from microservo.domain.effects import Judgement
from microservo.domain.faults.base import Fault
from microservo.domain.faults.catalogue import kind_named
from microservo.domain.faults.lifecycle import IN_FORCE, AffectedService, FaultStory
from schemas.records import FaultEvent, FaultState
from services.fault_injector.actions import Action, Verb

_FIRST_PAUSE_US = 50_000
_LONGEST_PAUSE_US = 1_000_000


@dataclass(slots=True, kw_only=True)
class OpenFault:
    """Mutable, and belongs to the injector's thread.

    Attributes:
        instances: those it is meant for.
        affected: whom it concerns; fixed when it is applied.
        busy: instances with an apply or a recovery under way.
        checking: instances that are being asked whether the fault is still in force.
        ending: by instance, why it shall be recovered as soon as it is no longer busy.
    """

    story: FaultStory
    fault: Fault
    instances: tuple[str, ...]
    affected: tuple[AffectedService, ...] = ()
    busy: set[str] = field(default_factory=set)
    checking: set[str] = field(default_factory=set)
    ending: dict[str, str] = field(default_factory=dict)
    efforts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_story(
        cls,
        story: FaultStory,
        *,
        instances: tuple[str, ...] = (),
        affected: tuple[AffectedService, ...] = (),
    ) -> OpenFault:
        """The fault that a story is about; its instances, unless given, are those in the story.

        Raises:
            InvalidInput: its kind or parameters are not of this version's catalogue.
        """
        fault = kind_named(story.whole.kind).from_canonical(story.whole.parameters)
        meant = instances or tuple(sorted(story.instances))
        return cls(story=story, fault=fault, instances=meant, affected=affected)

    @property
    def id(self) -> str:
        return self.story.whole.fault_id

    def action(self, verb: Verb, instance: str) -> Action:
        return Action(
            verb=verb,
            instance=instance,
            fault_id=self.id,
            wire=self.fault.wire(),
        )

    def event(self, instance: str) -> FaultEvent:
        """The newest event of an instance."""
        return self.story.latest[instance]

    def is_in_force(self, instance: str) -> bool:
        return instance in self.story.latest and self.story.state(instance) in IN_FORCE

    def active_instances(self) -> list[str]:
        """Where it is confirmed to be in force."""
        return [name for name, event in self.story.instances.items() if event.state == "active"]

    def due_at_us(self, instance: str) -> int:
        """When an applied fault shall be recovered."""
        applied_us = self.event(instance).applied_at_us or 0
        return applied_us if self.fault.one_shot else applied_us + self.story.whole.duration_us

    def last_state(self, instance: str) -> FaultState:
        """The state that recovery leads to."""
        event = self.event(instance)
        if event.applied_at_us is None:
            return "failed"
        return "stopped" if event.reason else "recovered"

    def pause_us(self, instance: str) -> int:
        """How long to wait before the next effort; longer each time."""
        effort = self.efforts[instance] = self.efforts.get(instance, 0) + 1
        return min(_FIRST_PAUSE_US << min(effort - 1, 10), _LONGEST_PAUSE_US)

    def judged(self, judgement: Judgement, at_us: int) -> Iterator[FaultEvent]:
        """The events that tell a judgement, one for each instance that it is news for."""
        news: Mapping[str, object] = {
            "verdict": judgement.verdict,
            "effect_seen_at_us": judgement.effect_seen_at_us,
            "normal_at_us": judgement.normal_at_us,
        }
        for instance, event in sorted(self.story.instances.items()):
            is_known = all(getattr(event, name) == value for name, value in news.items())
            if event.applied_at_us is None or event.state == "applying" or is_known:
                continue
            self.story = self.story.advance(instance, event.state, at_us, **news, evidence=judgement.evidence)
            yield self.event(instance)
