"""Who wanted an act of placement, by the decision that it carries out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from microservo.domain.manager.app_launches import LAUNCH_OF
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.components import REGION_COMPONENTS
from microservo.domain.manager.decide import MIGRATION
from microservo.domain.manager.host_decisions import DRAIN
from microservo.domain.manager.recovery import ENDING, RECOVERY
from microservo.domain.manager.service_decisions import MINIMUM_REPLICAS
from microservo.domain.manager.state import SystemState
from schemas.records import ActionOrigin, ControlCommand, ControlEvent

RETRY: Final = "retry"
"""The duty to launch elsewhere what could not be launched on a host."""
_DUTIES: Final = frozenset({DRAIN, ENDING, MIGRATION, MINIMUM_REPLICAS, RECOVERY, REGION_COMPONENTS})


def origin_of(event: ControlEvent, askers: Mapping[str, str], state: SystemState) -> tuple[ActionOrigin, str]:
    """Who wanted what was decided, and by which name.

    Args:
        event: the decision.
        askers: who gave commands, by their ids; of one that is older its id is all that is known.
        state: with the rules of people.
    """
    if event.command_id:
        return "command", askers.get(event.command_id, event.command_id)
    if event.rule in state.of_kind("rule"):
        return "rule", event.rule
    if event.rule in _DUTIES or event.rule.startswith(LAUNCH_OF):
        return "duty", event.rule
    return ("policy", event.rule) if event.rule else ("duty", RETRY)


def is_ordered(command: ControlCommand, state: SystemState) -> bool:
    """Whether another manager has decided, and only has it done here."""
    asker = command.requested_by
    is_manager = asker == MASTER or asker in state.of_kind("worker")
    # People may bear the name of a manager, but no command of theirs has an id like that.
    return is_manager and command.command_id.startswith(f"{asker}-{command.action}-")
