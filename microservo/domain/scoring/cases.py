"""What is judged besides windows: faults, alarms, rankings of root causes, classified failures."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One fault at one service where it was measured to be visible; instants in microseconds UTC.

    Attributes:
        fault_id: of the fault; it may be visible at several services.
        kind: of the fault.
        service: where it is visible.
        severity: more than 0, at most 1.
        start_us: begin of the first stretch in which it is visible here.
        end_us: end of the last one.
        applied_us: when the fault was in force, by its mechanism.
        effect_us: event time of the first record that deviates here.
    """

    fault_id: str
    kind: str
    service: str
    severity: float
    start_us: int
    end_us: int
    applied_us: int
    effect_us: int

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            msg = (
                f"incident {self.fault_id!r} at {self.service!r} is visible from {self.start_us} to "
                f"{self.end_us}; expected an end after the start"
            )
            raise InvalidInput(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm of an algorithm; instants in microseconds UTC.

    Attributes:
        service: it is about.
        start_us: begin of the first window in which it is open.
        end_us: end of the last one; None while it is open.
        known_us: when it could be known: the end of its first window, and the cut that the window waits for.
    """

    service: str
    start_us: int
    end_us: int | None
    known_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a ranker or classifier should have said of a fault.

    Attributes:
        fault_id: of the fault.
        kind: the failure class that is right.
        severity: more than 0, at most 1.
        answers: services that are its root cause, at least one.
        candidates: how many services there are to choose from.
    """

    fault_id: str
    kind: str
    severity: float
    answers: frozenset[str]
    candidates: int

    def __post_init__(self) -> None:
        if not 0 < len(self.answers) <= self.candidates:
            msg = (
                f"fault {self.fault_id!r} has {len(self.answers)} root causes among {self.candidates} "
                "candidates; expected at least one and no more than there are candidates"
            )
            raise InvalidInput(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Root causes as a ranker ranked them.

    Attributes:
        case_id: the alarm or the fault for which it was called.
        fault_id: the fault that the case is of; None for an alarm without a fault.
        at_us: the instant it was told that the anomaly began; microseconds UTC.
        ranks: services, the most suspect first; empty where the ranker failed.
        is_oracle_time: whether it was told the true instant, and not an alarm's.
    """

    case_id: str
    fault_id: str | None
    at_us: int
    ranks: tuple[str, ...]
    is_oracle_time: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """The class of a failure as a classifier named it.

    Attributes:
        case_id: the alarm or the fault for which it was called.
        fault_id: the fault that the case is of; None for an alarm without a fault.
        at_us: the instant of the case, microseconds UTC.
        predicted: name of a kind; empty where the classifier failed.
    """

    case_id: str
    fault_id: str | None
    at_us: int
    predicted: str
