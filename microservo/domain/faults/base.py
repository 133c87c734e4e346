"""What a kind of fault is: its parameters, what carries it, and what it should do to the telemetry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

from microservo.domain.faults.units import Unit, Value
from microservo.errors import InvalidInput
from schemas.records import Relation

_LEAST_SHARE = 0.02
"""What moves fewer records than this is no effect that anybody would publish."""

Wire = tuple[str, Mapping[str, Value]]
Need = Literal["", "callees", "callers", "users"]
"""What a service must have to be a target of a kind."""
Named = Literal["callers", "callees", "neighbours"]
"""Services that a parameter can name, by how they are connected with the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a kind.

    Attributes:
        name: as people write it.
        field: as the record, the control API and the class have it, in canonical units.
        default: as people write it; None means that it must be given.
        low: smallest canonical value, likewise `high`.
        choices: the texts that there are; any if there are none.
    """

    name: str
    field: str
    unit: Unit
    doc: str
    default: str | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> Value:
        """The canonical value of what people wrote.

        Raises:
            InvalidInput: not understood, or out of range.
        """
        try:
            value = self.unit.parse(text)
        except InvalidInput as error:
            msg = f"parameter {self.name}: {error}"
            raise InvalidInput(msg) from error
        self.check(value)
        return value

    def check(self, value: Value) -> None:
        """Refuses a canonical value that is out of range (`InvalidInput`)."""
        if isinstance(value, str):
            if self.choices and value not in self.choices:
                msg = f"parameter {self.name}: {value!r} is none of them; give {self.range_text()}"
                raise InvalidInput(msg)
            return
        below = self.low is not None and value < self.low
        if below or (self.high is not None and value > self.high):
            msg = f"parameter {self.name}: {self.unit.write(value)} is out of range; give {self.range_text()}"
            raise InvalidInput(msg)

    def range_text(self) -> str:
        """The range as people write it; empty without one."""
        if self.choices:
            return " or ".join(self.choices)
        if self.low is None or self.high is None:
            return ""
        return f"{self._bound(self.low)} to {self._bound(self.high)}"

    def _bound(self, bound: float) -> str:
        return self.unit.write(self.unit.number(f"{bound:.12g}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One statistic of a service that a kind of fault should move, named before anybody looks.

    Attributes:
        of: the requests that the service serves, the calls that it makes to the next services towards the
            root cause, or the points of a metric.
        statistic: the share of records that are slow (for direction down: fast), the share that failed, how
            many there are, or the level of a metric.
        direction: where the fault moves it.
        least: the smallest movement that matters: milliseconds (slow), share of all records (failed), share
            of those that were to be expected (count), the unit of the metric (level).
        share: least share of the records that must be slow; for slow only.
        metric: name of the metric without attributes; for level only.
        is_steady: the metric moves for no other reason than that the service is away: where it never did,
            one point is enough; for level only.
    """

    of: Literal["requests", "calls", "metric"]
    statistic: Literal["slow", "failed", "count", "level"]
    direction: Literal["up", "down"] = "up"
    least: float
    share: float = 0.0
    metric: str = ""
    is_steady: bool = False

    def diluted(self, by: float) -> Measure:
        """The same where only one in `by` records can be touched by the fault."""
        if self.statistic == "slow":
            return replace(self, share=max(self.share / by, _LEAST_SHARE))
        if self.statistic == "failed":
            return replace(self, least=max(self.least / by, _LEAST_SHARE))
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a fault should do to the telemetry of each service that it may reach, by how that is connected.

    Each measure is one test, and all tests of a fault share one rate of false alarms: name few, and those
    that really move. Without any nothing is tested and it never had an effect: that of a control, or of a
    fault of which nothing shows by the times of events.
    """

    root: tuple[Measure, ...] = ()
    callers: tuple[Measure, ...] = ()
    users: tuple[Measure, ...] = ()
    callees: tuple[Measure, ...] = ()
    neighbours: tuple[Measure, ...] = ()

    def of(self, relation: Relation) -> tuple[Measure, ...]:
        """The measures at a service of a relation to the root cause."""
        by_relation: Mapping[Relation, tuple[Measure, ...]] = {
            "root": self.root,
            "caller": self.callers,
            "user": self.users,
            "callee": self.callees,
            "neighbour": self.neighbours,
        }
        return by_relation[relation]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is tested."""
        return not (self.root or self.callers or self.users or self.callees or self.neighbours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(ABC):
    """A fault of one kind with its parameters, as fields in canonical units.

    Attributes:
        kind: name in requests and records.
        mechanisms: names of those that can carry it, the best first; a platform has some of them.
        strong: parameters, as people write them, that show clearly at a few requests per second; the
            defaults of other kinds do so.
        one_shot: it is over when done, whatever the duration (a kill).
        acts_on_host: it uses up what the instances of one machine share, so that neighbours may suffer.
        shows_idle: it shows in the telemetry of a target that gets no requests.
        stays_local: it shows at its service, and at those that call it hardly.
        on_telemetry: it acts on what is said of a service and not on the service, so that nobody else is
            exposed to it, and nobody's users notice.
        needs: what a service must have to be its target: services that it calls, services that call it, or
            users that come to it.
        names: which services a parameter can name, by its field: callers of the target, what the target
            calls, or both.
    """

    kind: ClassVar[str]
    mechanisms: ClassVar[tuple[str, ...]]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    strong: ClassVar[Mapping[str, str]] = {}
    one_shot: ClassVar[bool] = False
    acts_on_host: ClassVar[bool] = False
    shows_idle: ClassVar[bool] = False
    stays_local: ClassVar[bool] = False
    on_telemetry: ClassVar[bool] = False
    needs: ClassVar[Need] = ""
    names: ClassVar[Mapping[str, Named]] = {}

    @property
    @abstractmethod
    def severity(self) -> float:
        """How bad it is, from 0 (nothing) to 1 (total), by its parameters alone."""

    @abstractmethod
    def contract(self) -> Contract:
        """What it should do to the telemetry, service by service; empty where nothing should show."""

    @classmethod
    def from_text(cls, given: Mapping[str, str]) -> Self:
        """The fault with the parameters that people wrote.

        Raises:
            InvalidInput: one is missing, unknown, not understood or out of range.
        """
        names = [parameter.name for parameter in cls.parameters]
        unknown = sorted(set(given) - set(names))
        if unknown:
            msg = f"{cls.kind} has no parameter {unknown[0]!r}; it takes {', '.join(names) or 'none'}"
            raise InvalidInput(msg)
        return cls._of({parameter.field: cls._value(parameter, given) for parameter in cls.parameters})

    @classmethod
    def from_canonical(cls, values: Mapping[str, str]) -> Self:
        """The fault of a record, whose parameters are canonical numbers as text.

        Raises:
            InvalidInput: they are not those of this kind.
        """
        try:
            return cls._of({p.field: cls._recorded(p, values) for p in cls.parameters})
        except (KeyError, ValueError) as error:
            msg = f"{dict(values)} are no canonical parameters of {cls.kind}: {error}"
            raise InvalidInput(msg) from error

    def wire(self) -> Wire:
        """Kind and canonical parameters, in the form of the control API."""
        return self.kind, {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def canonical(self) -> dict[str, str]:
        """Canonical parameters as text, for records."""
        return {name: str(value) for name, value in self.wire()[1].items()}

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)

    @classmethod
    def _recorded(cls, parameter: Parameter, values: Mapping[str, str]) -> Value:
        if parameter.field not in values and parameter.default is not None:
            # The record is older than the parameter.
            return parameter.read(parameter.default)
        return parameter.unit.number(values[parameter.field])

    @classmethod
    def _value(cls, parameter: Parameter, given: Mapping[str, str]) -> Value:
        text = given.get(parameter.name, parameter.default)
        if text is None:
            msg = (
                f"{cls.kind} needs the parameter {parameter.name!r}; "
                f"add for example {parameter.name}={parameter.unit.example}"
            )
            raise InvalidInput(msg)
        return parameter.read(text)
