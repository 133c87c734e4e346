"""The placement policies: the rules, and the two controls that every policy has to beat.

Another distribution adds one by an entry point of the group `microservo.policies`; see `registry`.
"""

from microservo.domain.manager.policies.deploying import begin_life, deployed_policy, follow_settings
from microservo.domain.manager.policies.nothing import NothingPolicy
from microservo.domain.manager.policies.random_policy import RandomPolicy
from microservo.domain.manager.policies.registry import (
    CONTROLS,
    GROUP,
    NOTHING,
    RANDOM,
    RULES,
    policy_named,
    policy_names,
)
from microservo.domain.manager.policies.rules import RulesPolicy

__all__ = [
    "CONTROLS",
    "GROUP",
    "NOTHING",
    "RANDOM",
    "RULES",
    "NothingPolicy",
    "RandomPolicy",
    "RulesPolicy",
    "begin_life",
    "deployed_policy",
    "follow_settings",
    "policy_named",
    "policy_names",
]
