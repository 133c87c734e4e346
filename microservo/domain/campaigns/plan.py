"""The plan of a campaign: which fault is to begin when, to the microsecond; same seed, same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from microservo.domain.campaigns.choice import CampaignFault, campaign
from microservo.domain.campaigns.definition import (
    MOST_FAULTS,
    SECOND_US,
    Bounds,
    Choice,
    Definition,
    LoadStep,
)
from microservo.domain.campaigns.target import CampaignTarget
from microservo.domain.documents import problem
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.places import places
from microservo.domain.graph import Edge
from microservo.errors import InvalidInput
from schemas.records import FaultRequest

_CONTROL = "noop"
"""A kind that shows nothing."""
_IDLE_PER_S = 1.0
"""With fewer requests than these, a fault of some seconds meets too few to show."""
_EVEN = 1000
_MOST_STRETCHED = 1_000_000
"""Gaps in thousandths of what was drawn: a thousand times as long is as good as never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One fault of a plan; all times in microseconds, `at_us` after the beginning of the campaign.

    Attributes:
        number: from 1 on, in the order in which they begin.
        gap_us: quiet time after it, before what is planned to come behind it.
        mode: how many of the service's instances it hits, as of a request; so are labels and instances.
    """

    number: int
    at_us: int
    kind: str
    service: str
    parameters: Mapping[str, str]
    duration_us: int
    gap_us: int
    mode: str = "all"
    labels: Mapping[str, str] = field(default_factory=dict)
    instances: tuple[str, ...] = ()

    @property
    def quiet_at_us(self) -> int:
        """When it is over, and the quiet time after it too."""
        return self.at_us + self.duration_us + self.gap_us


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """All that is needed to run a campaign.

    Attributes:
        name: of the campaign.
        seed: of all choices.
        target: name of the topology that the target must have; `CLUSTER` for one in a cluster.
        steps: faults, by when they begin.
        load: journeys over time; empty where the load stays what it is.
        lasts_us: microseconds from the beginning to the end.
        steady: what the target must be like before the first fault.
        abort: what ends the campaign where the target leaves it.
        entry: the service whose requests are those of the users; empty where they are ours.
    """

    name: str
    seed: int
    target: str
    steps: tuple[PlannedStep, ...]
    load: tuple[LoadStep, ...] = ()
    lasts_us: int = 0
    steady: Bounds = field(default_factory=Bounds)
    abort: Bounds = field(default_factory=Bounds)
    entry: str = ""

    def to_bytes(self) -> bytes:
        """The plan as canonical JSON: equal plans give equal bytes."""
        return json.dumps(_document(self), sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> CampaignPlan:
        """The plan of these bytes.

        Raises:
            InvalidInput: they are none.
        """
        try:
            return _PLAN.validate_json(data)
        except ValidationError as error:
            msg = f"this is no plan of a campaign ({problem(error)}); another version may have made it"
            raise InvalidInput(msg) from error

    @property
    def sha256(self) -> str:
        """Of the bytes, in hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def faults(self) -> list[CampaignFault]:
        """The faults without their times, as the record of a run has them."""
        return [
            CampaignFault(
                kind=step.kind,
                service=step.service,
                parameters=step.parameters,
                duration_s=step.duration_us // SECOND_US,
                gap_s=step.gap_us // SECOND_US,
            )
            for step in self.steps
        ]

    @property
    def fault_free_share(self) -> float:
        """Share of the time in which no fault is planned to be in force."""
        return 1 - _covered_us(self.steps) / self.lasts_us if self.lasts_us else 1.0


_PLAN = TypeAdapter(CampaignPlan)
_LEFT_OUT: Mapping[str, object] = {"mode": "all", "labels": {}, "instances": (), "entry": ""}
"""What the bytes of a plan leave out: it came later, and plans without it keep their bytes."""


def fault_id(campaign_id: str, step: PlannedStep) -> str:
    """The id of a fault of a campaign.

    Example:
        >>> step = PlannedStep(
        ...     number=7, at_us=0, kind="noop", service="a", parameters={}, duration_us=1, gap_us=0)
        >>> fault_id("smoke-1a2b3c4d", step)
        'smoke-1a2b3c4d-007'
    """
    return f"{campaign_id}-{step.number:03}"


def request_of(campaign_id: str, step: PlannedStep, requested_at_us: int) -> FaultRequest:
    """The request of a fault of a campaign; made again, it is the same to the last byte."""
    return FaultRequest(
        fault_id=fault_id(campaign_id, step),
        action="inject",
        requested_at_us=requested_at_us,
        kind=step.kind,
        service=step.service,
        instances=step.instances,
        mode=step.mode,
        labels=dict(step.labels),
        parameters=dict(step.parameters),
        duration_us=step.duration_us,
        requested_by=f"campaign {campaign_id}",
    )


def plan_campaign(
    definition: Definition, target: CampaignTarget, kinds: Sequence[str], seed: int | None = None
) -> CampaignPlan:
    """The plan for a target.

    Args:
        definition: what it is to be like.
        target: to be hit.
        kinds: of faults that the target carries, to choose from where the definition names none.
        seed: instead of the definition's own.

    Raises:
        InvalidInput: a service is not of the target, or there is no time for what is asked for.
    """
    seed = definition.seed if seed is None else seed
    faults = _chosen(definition, target, kinds, seed)
    steps = _choosing(definition, _laid_out(definition, faults))
    return CampaignPlan(
        name=definition.name,
        seed=seed,
        target=target.name,
        steps=steps,
        load=definition.load,
        lasts_us=_lasts_us(definition, steps),
        steady=definition.steady,
        abort=definition.abort,
        entry=definition.entry,
    )


def one_after_another(name: str, seed: int, target: str, faults: Sequence[CampaignFault]) -> CampaignPlan:
    """The plan of faults that were chosen already, each after the quiet time of the one before."""
    steps = _lanes(faults, _EVEN, 1, 0)
    last = steps[-1].quiet_at_us if steps else 0
    return CampaignPlan(name=name, seed=seed, target=target, steps=steps, lasts_us=last)


def _chosen(
    definition: Definition, target: CampaignTarget, kinds: Sequence[str], seed: int
) -> list[CampaignFault]:
    services = _services(definition, target)
    named = [each.kind for each in definition.mix]
    _refuse_not_carried(named, target, kinds)
    journeys_per_s = min((step.journeys_per_s for step in definition.load), default=0.0)
    load = target.per_journey
    given = {
        "durations_s": _seconds(definition.duration_us),
        "gaps_s": _seconds(definition.gap_us),
    }
    return campaign(
        seed,
        named or _on_services(kinds, services, target.edges),
        services,
        definition.count or _most_faults(definition),
        idle=[name for name in services if name in load and load[name] * journeys_per_s < _IDLE_PER_S],
        callers=target.callers if definition.is_balanced else None,
        edges=target.edges,
        weights={each.kind: each.weight for each in definition.mix},
        ladders={each.kind: each.ladder for each in definition.mix},
        **{name: seconds for name, seconds in given.items() if seconds is not None},
    )


def _on_services(kinds: Sequence[str], services: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """Those that do something to one of these services; others are there for those who ask for them."""
    return [
        kind
        for kind in kinds
        if kind != _CONTROL and not KINDS[kind].on_telemetry and places(KINDS[kind], edges) & set(services)
    ]


def _refuse_not_carried(named: Sequence[str], target: CampaignTarget, kinds: Collection[str]) -> None:
    lacking = [kind for kind in named if kind not in kinds]
    if lacking:
        msg = f"{target.name} can't carry {', '.join(lacking)}; leave them out of the mix"
        raise InvalidInput(msg)


def _services(definition: Definition, target: CampaignTarget) -> list[str]:
    for name in (*definition.services, *definition.without, *definition.instances):
        if name not in target.services:
            known = ", ".join(target.services)
            msg = f"{target.name} has no service {name!r}; choose among {known}"
            raise InvalidInput(msg)
    chosen = definition.services or target.services
    return [name for name in chosen if name not in definition.without]


def _choosing(definition: Definition, steps: Sequence[PlannedStep]) -> tuple[PlannedStep, ...]:
    """The steps with what they are to hit of their services."""
    of_kind = {each.kind: each.choice for each in definition.mix}

    def chosen(step: PlannedStep) -> PlannedStep:
        own, target = of_kind.get(step.kind, Choice()), definition.choice
        return replace(
            step,
            mode=own.mode or target.mode or "all",
            labels=(target.labels or {}) if own.labels is None else own.labels,
            instances=definition.instances.get(step.service, ()),
        )

    return tuple(chosen(step) for step in steps)


def _seconds(bounds: tuple[int, int] | None) -> Sequence[int] | None:
    return None if bounds is None else range(bounds[0] // SECOND_US, bounds[1] // SECOND_US + 1)


def _most_faults(definition: Definition) -> int:
    """More than there is room for in the time that a campaign lasts."""
    shortest_us = SECOND_US if definition.duration_us is None else definition.duration_us[0]
    shortest_us += 0 if definition.gap_us is None else definition.gap_us[0]
    return min(MOST_FAULTS, definition.concurrency * (definition.lasts_us // shortest_us + 1))


def _laid_out(definition: Definition, faults: Sequence[CampaignFault]) -> tuple[PlannedStep, ...]:
    """Steps with gaps that are just so long that enough time is free of faults."""

    def steps(stretched: int) -> tuple[PlannedStep, ...]:
        laid = _lanes(faults, stretched, definition.concurrency, definition.warm_up_us)
        return _within(definition, laid)

    def is_enough(stretched: int) -> bool:
        laid = steps(stretched)
        free_us = _lasts_us(definition, laid) - _covered_us(laid)
        return free_us >= definition.fault_free * _lasts_us(definition, laid)

    low, high = _EVEN, _MOST_STRETCHED
    if is_enough(low):
        high = low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    found = steps(high)
    if not found or not is_enough(high):
        msg = (
            f"campaign {definition.name} has no time for a fault with {definition.fault_free:.0%} of it free "
            "of faults; let it last longer, or give shorter faults and gaps above zero"
        )
        raise InvalidInput(msg)
    return found


def _within(definition: Definition, steps: tuple[PlannedStep, ...]) -> tuple[PlannedStep, ...]:
    """Those that are over in time."""
    if not definition.lasts_us:
        return steps
    end_us = definition.lasts_us - definition.cool_down_us
    return _numbered([step for step in steps if step.at_us + step.duration_us <= end_us])


def _lasts_us(definition: Definition, steps: Sequence[PlannedStep]) -> int:
    if definition.lasts_us:
        return definition.lasts_us
    over_us = max((step.at_us + step.duration_us for step in steps), default=0)
    quiet_us = max((step.quiet_at_us for step in steps), default=0)
    return max(quiet_us, over_us + definition.cool_down_us)


def _lanes(
    faults: Sequence[CampaignFault], stretched: int, concurrency: int, begin_us: int
) -> tuple[PlannedStep, ...]:
    """The faults, each in the lane that is free first, and never two at once on a service.

    ::

        lane 1   ███ · · ████ · ·  ██ ·
        lane 2     · ████ · · ██ · · ███
    """
    free_us = [begin_us] * concurrency
    quiet_us: dict[str, int] = {}
    steps: list[PlannedStep] = []
    for fault in faults:
        gap_us = fault.gap_s * SECOND_US * stretched // _EVEN
        lane = min(range(concurrency), key=free_us.__getitem__)
        at_us = max(free_us[lane], quiet_us.get(fault.service, 0))
        step = PlannedStep(
            number=0,
            at_us=at_us,
            kind=fault.kind,
            service=fault.service,
            parameters=dict(fault.parameters),
            duration_us=fault.duration_s * SECOND_US,
            gap_us=gap_us,
        )
        free_us[lane] = quiet_us[fault.service] = step.quiet_at_us
        steps.append(step)
    return _numbered(steps)


def _numbered(steps: Sequence[PlannedStep]) -> tuple[PlannedStep, ...]:
    in_order = sorted(steps, key=lambda step: step.at_us)
    return tuple(replace(step, number=number) for number, step in enumerate(in_order, start=1))


def _covered_us(steps: Sequence[PlannedStep]) -> int:
    """How long at least one of them is in force; they come by when they begin."""
    covered_us, end_us = 0, 0
    for step in steps:
        over_us = step.at_us + step.duration_us
        covered_us += max(0, over_us - max(step.at_us, end_us))
        end_us = max(end_us, over_us)
    return covered_us


def _document(plan: CampaignPlan) -> dict[str, object]:
    """The fields of a plan, without those that say nothing."""

    def told(fields: Mapping[str, object]) -> dict[str, object]:
        return {name: each for name, each in fields.items() if _LEFT_OUT.get(name, ...) != each}

    return {**told(asdict(plan)), "steps": [told(asdict(step)) for step in plan.steps]}
