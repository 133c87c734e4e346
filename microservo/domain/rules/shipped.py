"""The rules that a new system begins with."""

from __future__ import annotations

from typing import Final

from microservo.domain.rules.rule import Condition, Rule

SHIPPED_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="overloaded-host",
        scope="host",
        generic=True,
        priority=1,
        decision="overload",
        conditions=(
            Condition(field="cpu-%", mode="effective", operator=">", value=90.0),
            Condition(field="ram-%", mode="effective", operator=">", value=90.0),
        ),
    ),
    Rule(
        name="much-received",
        scope="service",
        generic=True,
        priority=1,
        decision="replicate",
        conditions=(Condition(field="rx-bytes-per-sec", mode="effective", operator=">", value=500_000.0),),
    ),
)
