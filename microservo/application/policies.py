"""What can be asked for about placement policies: which there are, which is deployed, and to deploy one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from microservo.application.command import Command, Context
from microservo.application.manager_commands import ANSWER_S, Outcome
from microservo.application.manager_entities import ListEntities, WriteEntity, list_entities, write_entity

if TYPE_CHECKING:
    from microservo.domain.manager.simulation.judging import PolicyRow

_SETTINGS = "manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesView:
    """The placement policies.

    Attributes:
        deployed: the one that settings name; empty where each manager decides by the one that it was started
            with, its `MICROSERVO_MANAGER_POLICY`.
        known: those that this installation has; a manager elsewhere may have others.
        controls: those of them that are there to be beaten.
    """

    deployed: str
    known: tuple[str, ...]
    controls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowPolicies(Command[PoliciesView]):
    """Asks which policies there are, and which is deployed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployPolicy(Command[Outcome]):
    """Asks all managers to decide by a policy from now on.

    Attributes:
        name: of the policy; empty for the one that each manager was started with.
        answer_s: how many seconds to wait for the master's answer.
    """

    name: str
    answer_s: float = ANSWER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePolicies(Command["tuple[PolicyRow, ...]"]):
    """Asks what comes of the same simulated days under each policy; the controls stand beside.

    Attributes:
        names: of policies; all that there are if there is none.
        seed: of the first day; each one after has the next.
        days: how many, 3 to 100.
    """

    names: tuple[str, ...] = ()
    seed: int = 0
    days: int = 3


def compare_placement_policies(command: ComparePolicies, _: Context) -> tuple[PolicyRow, ...]:
    """The board, best first; takes about three seconds of processor time for each policy and day.

    Raises:
        InvalidInput: there is no such policy here, or the days are too few or too many.
    """
    from microservo.domain.manager.policies import policy_names  # noqa: PLC0415  # loads NumPy, as rules do
    from microservo.domain.manager.simulation.judging import compare_policies  # noqa: PLC0415  # likewise

    return compare_policies(command.names or policy_names(), seed=command.seed, days=command.days)


def show_policies(_: ShowPolicies, context: Context) -> PoliciesView:
    """The policies.

    Raises:
        Retryable: the broker is away for now.
    """
    from microservo.domain.manager.policies import (  # noqa: PLC0415  # loads NumPy, as rules do
        CONTROLS,
        policy_names,
    )

    found = [each for each in list_entities(ListEntities(kind="settings"), context) if each.name == _SETTINGS]
    deployed = str(found[0].values.get("policy", "")) if found else ""
    return PoliciesView(deployed=deployed, known=policy_names(), controls=CONTROLS)


def deploy_policy(command: DeployPolicy, context: Context) -> Outcome:
    """What the master said; its other settings stay.

    Raises:
        InvalidInput: the master knows no policy of that name; nothing was changed.
        Unavailable: no manager answers.
    """
    found = list_entities(ListEntities(kind="settings"), context)
    asked = WriteEntity(
        key=f"settings/{_SETTINGS}",
        values={"policy": command.name},
        is_new=all(each.name != _SETTINGS for each in found),
        answer_s=command.answer_s,
    )
    return write_entity(asked, context)
