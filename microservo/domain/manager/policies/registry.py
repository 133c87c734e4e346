"""Policies by name: the shipped ones, and those of other distributions.

A distribution adds one by an entry point of the group `microservo.policies` that names what makes it from a
seed, a class or a function::

    [project.entry-points."microservo.policies"]
    cheapest = "my_package.cheapest:CheapestPolicy"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Final

from microservo.domain.manager.policies.nothing import NothingPolicy
from microservo.domain.manager.policies.random_policy import RandomPolicy
from microservo.domain.manager.policies.rules import RulesPolicy
from microservo.domain.manager.policy import Policy
from microservo.errors import InvalidInput

GROUP: Final = "microservo.policies"
RULES: Final = RulesPolicy.name
NOTHING: Final = NothingPolicy.name
RANDOM: Final = RandomPolicy.name
CONTROLS: Final = (NOTHING, RANDOM)
"""What whoever decides well has to be better than."""

_SHIPPED: Final[Mapping[str, Callable[[int], Policy]]] = {
    RULES: RulesPolicy,
    NOTHING: NothingPolicy,
    RANDOM: RandomPolicy,
}


def policy_names() -> tuple[str, ...]:
    """The shipped ones, then those of other distributions by name."""
    return (*_SHIPPED, *sorted({entry.name for entry in entry_points(group=GROUP)} - _SHIPPED.keys()))


def policy_named(name: str, seed: int) -> Policy:
    """A new policy of a name.

    Args:
        name: shipped, or of an entry point.
        seed: of what it draws by lot; whoever draws nothing leaves it.

    Raises:
        InvalidInput: there is none of that name, or the one that there is can't be made.
    """
    make = _SHIPPED.get(name)
    if make is not None:
        return make(seed)
    for entry in entry_points(group=GROUP, name=name):
        try:
            made: Policy = entry.load()(seed)
        except Exception as error:
            msg = (
                f"the policy {name!r} can't be had from {entry.value!r}: {error!r}; mend it, or take another"
            )
            raise InvalidInput(msg) from error
        if made.name != name:
            msg = (
                f"{entry.value!r} is entered as policy {name!r}, and calls itself {made.name!r}; correct one"
            )
            raise InvalidInput(msg)
        return made
    msg = f"there is no policy {name[:80]!r} here; take one of {', '.join(policy_names())}"
    raise InvalidInput(msg)
