"""Placement: where containers go, and which leave a host that has too many or too few. Pure, in columns."""

from microservo.domain.placement.capacity import CEILING_PERCENT, Hosts, Int8, Need, room
from microservo.domain.placement.drain import Move, NotDrained, plan_drain
from microservo.domain.placement.hosts import (
    INACTIVE_FACTOR,
    NEW_FACTOR,
    PASSED_OVER,
    Choice,
    ChoiceKind,
    NoHost,
    choose_host,
    choose_host_of_region,
    choose_node,
    why_not,
)
from microservo.domain.placement.overload import Containers, Relief, rank_reliefs
from microservo.domain.placement.ports import first_free_port

__all__ = [
    "CEILING_PERCENT",
    "INACTIVE_FACTOR",
    "NEW_FACTOR",
    "PASSED_OVER",
    "Choice",
    "ChoiceKind",
    "Containers",
    "Hosts",
    "Int8",
    "Move",
    "Need",
    "NoHost",
    "NotDrained",
    "Relief",
    "choose_host",
    "choose_host_of_region",
    "choose_node",
    "first_free_port",
    "plan_drain",
    "rank_reliefs",
    "room",
    "why_not",
]
