"""Which policy decides: the one that settings name, or else the one that the process was started with."""

from __future__ import annotations

from microservo.domain.manager.entities import Settings, entity_key
from microservo.domain.manager.policies.registry import RULES, policy_named
from microservo.domain.manager.policy import Policy
from microservo.domain.manager.state import SystemState
from microservo.domain.manager.step import Cause, Step
from microservo.domain.rules import HOST_STREAKS, SERVICE_STREAKS, Streaks
from microservo.errors import InvalidInput

_POLICY = "policy"


def deployed_policy(state: SystemState) -> Policy:
    """The policy that decides; the rules where nobody has said anything."""
    if state.deployed.policy is None:
        state.deployed.policy = policy_named(RULES, state.seed)
    return state.deployed.policy


def begin_life(step: Step, policy: str, seed: int) -> None:
    """Enters with what a process was started.

    Raises:
        InvalidInput: there is no such policy here.
    """
    step.state.seed, step.state.deployed.first = seed, policy
    # Anew in any case: it draws from this seed.
    _deploy(step, policy_named(policy, seed))


def follow_settings(step: Step) -> None:
    """Deploys the policy that settings name, if it isn't yet; where it can't be had, says so and goes on."""
    state = step.state
    wanted = state.settings.policy or state.deployed.first
    if wanted == step.policy.name:
        state.deployed.refused = ""
    elif wanted != state.deployed.refused:
        try:
            _deploy(step, policy_named(wanted, state.seed))
        except InvalidInput as error:
            state.deployed.refused = wanted
            reason = f"{error}; {step.policy.name} goes on"
            step.report(entity_key(Settings()), _POLICY, Cause(rule=_POLICY, reason=reason), state="failed")


def _deploy(step: Step, policy: Policy) -> None:
    """Has a policy decide from now on; what was counted for the one before counts no more."""
    state, before = step.state, step.policy.name
    state.deployed.policy = policy
    for measured, streaks in ((state.of_hosts, HOST_STREAKS), (state.of_containers, SERVICE_STREAKS)):
        measured.streaks, measured.outcome = Streaks(streaks), None
    # What the one before left undone: replicas that are lacking, containers that are down.
    state.unsettled.update(dict.fromkeys(state.services))
    down = (each for each in state.containers.values() if each.state == "down" and state.manages(each))
    state.retries.containers.update(dict.fromkeys(each.name for each in down))
    if policy.name != before:
        cause = Cause(rule=_POLICY, reason=f"{policy.name} decides from now on, {before} did before")
        step.report(entity_key(Settings()), _POLICY, cause, state="done")
