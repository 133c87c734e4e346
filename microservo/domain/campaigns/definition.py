"""Campaign files: TOML in, a `Definition` out; or the first mistake, with its place and value."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from microservo.domain.documents import problem
from microservo.domain.faults.catalogue import LONGEST_US, kind_named
from microservo.domain.faults.targets import check_mode
from microservo.domain.faults.units import parse_duration
from microservo.errors import InvalidInput

SECOND_US = 1_000_000
MOST_FAULTS = 10_000
CLUSTER = "kubernetes"
"""What a target in a cluster is called, whatever its namespaces."""
_NAME = r"^[a-z][a-z0-9-]{0,23}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the target must keep to, as its users see it; None leaves a bound out.

    Attributes:
        error_share: most of their requests that may fail, 0 to 1.
        p99_ms: how long 99 of 100 of their requests may take at the most.
        requests_per_s: least that they are to make.
        are_instances_up: whether every instance has to be up.
        for_s: how long it has to be so: within the bounds before the first fault, out of them to abort.
        within_s: how long to wait until it is so before the first fault.
    """

    error_share: float | None = None
    p99_ms: float | None = None
    requests_per_s: float | None = None
    are_instances_up: bool = False
    for_s: float = 0.0
    within_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """From when on users make how many journeys; microseconds after the beginning of the campaign."""

    at_us: int
    journeys_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which instances of a service are hit; None leaves that to whoever is asked next.

    Attributes:
        mode: how many, as of a request.
        labels: that they must have.
    """

    mode: str | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Which faults there are of a kind.

    Attributes:
        kind: of fault.
        weight: how often it comes in a round of all kinds.
        ladder: parameters, mildest first, that are taken in turn.
        choice: of instances; what it leaves open is as the target's.
    """

    kind: str
    weight: int
    ladder: tuple[Mapping[str, str], ...]
    choice: Choice = Choice()


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a campaign is to be like.

    Attributes:
        name: of the campaign.
        summary: what it is for, in a sentence.
        seed: of all choices, where no other is given.
        is_on_cluster: whether the target runs in a cluster, so that it has no topology, and no load of ours.
        topology: name of the target's topology, or path of its file.
        services: to hit; all of the target if empty.
        without: services that are left out.
        entry: the service whose requests are those of the users, in a cluster; empty where it is not named.
        choice: of each service's instances.
        instances: the only ones to hit, of services that have such.
        load: journeys over time; the first at 0; none in a cluster.
        mix: kinds of faults; if empty, every kind that the target carries but the control and what is done to
            telemetry alone.
        count: how many faults; 0 for as many as `lasts_us` has room for.
        lasts_us: how long it goes on, in microseconds; 0 for as long as the faults take.
        duration_us: shortest and longest fault; None for what suits the choice.
        gap_us: shortest and longest quiet time after a fault; likewise.
        concurrency: most faults at once, never two on one service.
        fault_free: least share of the time without any fault, 0 to 1.
        warm_up_us: quiet time before the first fault.
        cool_down_us: quiet time after the last.
        is_balanced: whether faults are short where callers suffer and long where not.
        steady: what the target must be like before the first fault.
        abort: what ends the campaign where the target leaves it.
    """

    name: str
    summary: str = ""
    seed: int = 7
    is_on_cluster: bool = False
    topology: str = "online-boutique"
    services: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    entry: str = ""
    choice: Choice = Choice()
    instances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    load: tuple[LoadStep, ...] = (LoadStep(at_us=0, journeys_per_s=8.0),)
    mix: tuple[Mix, ...] = ()
    count: int = 0
    lasts_us: int = 0
    duration_us: tuple[int, int] | None = None
    gap_us: tuple[int, int] | None = None
    concurrency: int = 1
    fault_free: float = 0.0
    warm_up_us: int = 0
    cool_down_us: int = 0
    is_balanced: bool = False
    steady: Bounds = field(default_factory=Bounds)
    abort: Bounds = field(default_factory=Bounds)


def load_definition(text: str, name: str) -> Definition:
    """The campaign that a TOML text describes; `name` is what the text is called in errors.

    Raises:
        InvalidInput: it isn't TOML, or asks for something that can't be; names file, place and value.
    """
    try:
        return _CampaignFile.model_validate(tomllib.loads(text)).definition()
    except tomllib.TOMLDecodeError as error:
        msg = f"{name}: not a TOML document ({error}); see docs/campaigns.md for an example"
        raise InvalidInput(msg) from error
    except ValidationError as error:
        msg = f"{name}: {problem(error)}; correct it there"
        raise InvalidInput(msg) from error
    except InvalidInput as error:
        msg = f"{name}: {error}"
        raise InvalidInput(msg) from error


def _microseconds(value: object) -> int:
    """Of a text; pydantic wants another error than ours."""
    if not isinstance(value, str):
        msg = f'expected a duration like "20s", got {value!r}'
        raise ValueError(msg)
    try:
        return parse_duration(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from error


def _whole_seconds(value: int) -> int:
    if value % SECOND_US:
        msg = "expected whole seconds"
        raise ValueError(msg)
    return value


def _shorter_first(value: list[int]) -> list[int]:
    if value[0] > value[1]:
        msg = "expected the shorter one first"
        raise ValueError(msg)
    return value


_Duration = Annotated[int, BeforeValidator(_microseconds), Field(ge=0)]
_Seconds = Annotated[int, BeforeValidator(_microseconds), AfterValidator(_whole_seconds), Field(ge=0)]
_FaultDuration = Annotated[_Seconds, Field(ge=SECOND_US, le=LONGEST_US)]
_FaultDurations = Annotated[
    list[_FaultDuration], Field(min_length=2, max_length=2), AfterValidator(_shorter_first)
]
_Gaps = Annotated[list[_Seconds], Field(min_length=2, max_length=2), AfterValidator(_shorter_first)]


class _Table(BaseModel):
    """A table of the file: known keys only, and no value of another type is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _mode(value: str) -> str:
    """As of a request; pydantic wants another error than ours."""
    try:
        check_mode(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from error
    return value


class _ChoiceTable(_Table):
    mode: Annotated[str, AfterValidator(_mode)] | None = None
    labels: dict[str, str] | None = None

    def choice(self) -> Choice:
        return Choice(mode=self.mode, labels=self.labels)


class _TargetTable(_ChoiceTable):
    platform: Literal["local", "kubernetes"] = "local"
    topology: str = "online-boutique"
    services: list[str] = []
    without: list[str] = []
    entry: str = ""
    instances: dict[str, Annotated[list[str], Field(min_length=1)]] = {}

    @model_validator(mode="after")
    def _is_of_one_platform(self) -> Self:
        of_the_other = "topology" if self.platform == CLUSTER else "entry"
        if of_the_other in self.model_fields_set:
            msg = f"{of_the_other} is nothing that a target on {self.platform} has; leave it out"
            raise ValueError(msg)
        return self


class _LoadStepTable(_Table):
    at: _Seconds = 0
    journeys_per_s: float = Field(ge=0, le=200)


class _FaultsTable(_Table):
    count: int = Field(0, ge=0, le=MOST_FAULTS)
    lasts: _Seconds = 0
    duration: _FaultDurations | None = None
    gap: _Gaps | None = None
    concurrency: int = Field(1, ge=1, le=16)
    fault_free: float = Field(0.0, ge=0, le=0.99)
    warm_up: _Seconds = 0
    cool_down: _Seconds = 0
    balanced: bool = False

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if (self.count > 0) == (self.lasts > 0):
            msg = "give either count, a number of faults, or lasts, a time"
            raise ValueError(msg)
        if self.balanced and (self.duration or self.gap or self.concurrency > 1):
            msg = (
                "what is balanced chooses its durations and gaps itself, one fault at a time; leave them out"
            )
            raise ValueError(msg)
        return self


class _MixTable(_ChoiceTable):
    kind: str
    weight: int = Field(1, ge=1, le=100)
    severities: list[dict[str, str]] = []

    def mix(self) -> Mix:
        kind = kind_named(self.kind)
        ladder = self.severities or [dict(kind.strong)]
        for parameters in ladder:
            kind.from_text(parameters)
        return Mix(kind=self.kind, weight=self.weight, ladder=tuple(ladder), choice=self.choice())


class _BoundsTable(_Table):
    error_share: float | None = Field(None, ge=0, le=1)
    p99: _Duration | None = None
    requests_per_s: float | None = Field(None, ge=0)
    instances_up: bool = False
    # "for" is no name in Python.
    for_: _Duration = Field(0, alias="for")
    within: _Duration = 0

    @property
    def of_users(self) -> bool:
        """Whether anything is asked of the users' requests."""
        return (self.error_share, self.p99, self.requests_per_s) != (None, None, None)

    def bounds(self) -> Bounds:
        return Bounds(
            error_share=self.error_share,
            p99_ms=None if self.p99 is None else self.p99 / 1000,
            requests_per_s=self.requests_per_s,
            are_instances_up=self.instances_up,
            for_s=self.for_ / SECOND_US,
            within_s=self.within / SECOND_US,
        )


class _CampaignFile(_Table):
    name: Annotated[str, Field(pattern=_NAME)]
    summary: str = ""
    seed: int = Field(7, ge=0, le=2**63 - 1)
    target: _TargetTable = _TargetTable()
    load: list[_LoadStepTable] = [_LoadStepTable(journeys_per_s=8.0)]
    faults: _FaultsTable
    mix: list[_MixTable] = []
    steady: _BoundsTable = _BoundsTable()
    abort: _BoundsTable = _BoundsTable()

    @model_validator(mode="after")
    def _load_begins_at_once(self) -> Self:
        times = [step.at for step in self.load]
        if times[:1] != [0] or times != sorted(set(times)):
            msg = 'load: expected steps one after another, the first at "0s"'
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _asks_a_cluster_for_what_it_has(self) -> Self:
        if self.target.platform != CLUSTER:
            return self
        if "load" in self.model_fields_set:
            msg = "load: the users of a target in a cluster are its own, whose load nobody here can change; "
            raise ValueError(msg + "leave it out")
        if not self.mix:
            msg = "mix: in a cluster, name the kinds: whether a pod is a JVM, say, or has a volume, "
            raise ValueError(msg + "isn't known beforehand")
        if self.faults.balanced:
            msg = "faults.balanced: who calls whom in a cluster isn't known beforehand; leave it out"
            raise ValueError(msg)
        if not self.target.entry and (self.steady.of_users or self.abort.of_users):
            msg = "target.entry: name the service that users come to, whose requests the bounds are of; "
            raise ValueError(msg + "or bound instances_up alone")
        return self

    def definition(self) -> Definition:
        faults, is_on_cluster = self.faults, self.target.platform == CLUSTER
        load = [] if is_on_cluster else self.load
        return Definition(
            name=self.name,
            summary=self.summary,
            seed=self.seed,
            is_on_cluster=is_on_cluster,
            topology=self.target.topology,
            services=tuple(self.target.services),
            without=tuple(self.target.without),
            entry=self.target.entry,
            choice=self.target.choice(),
            instances={name: tuple(ids) for name, ids in self.target.instances.items()},
            load=tuple(LoadStep(at_us=each.at, journeys_per_s=each.journeys_per_s) for each in load),
            mix=tuple(each.mix() for each in self.mix),
            count=faults.count,
            lasts_us=faults.lasts,
            duration_us=_pair(faults.duration),
            gap_us=_pair(faults.gap),
            concurrency=faults.concurrency,
            fault_free=faults.fault_free,
            warm_up_us=faults.warm_up,
            cool_down_us=faults.cool_down,
            is_balanced=faults.balanced,
            steady=self.steady.bounds(),
            abort=self.abort.bounds(),
        )


def _pair(bounds: list[int] | None) -> tuple[int, int] | None:
    return None if bounds is None else (bounds[0], bounds[1])
