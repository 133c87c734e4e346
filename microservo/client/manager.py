"""`client.manager`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from microservo.application.command import Context
from microservo.application.manager_commands import ANSWER_S, FollowControlEvents, GiveCommand, Outcome
from microservo.application.manager_entities import (
    AssociateEntities,
    ComponentKind,
    EntityView,
    ListEntities,
    SeedComponents,
    SeedTopology,
    ShowEntity,
    WriteEntity,
)
from microservo.application.policies import ComparePolicies, DeployPolicy, PoliciesView, ShowPolicies
from microservo.application.table import execute
from schemas.records import ControlAction, ControlEvent

if TYPE_CHECKING:
    from microservo.domain.manager.simulation.judging import PolicyRow

Place = tuple[float, float]
"""Latitude and longitude, in degrees."""


class Manager:
    """What the manager knows, does and decided.

    All that asks it to do something waits for its answer, raises `InvalidInput` with the reason where it
    refuses, and `Unavailable` where none answers. With `finish_s` it also waits so many seconds, after the
    answer, for what was decided to be finished.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(self, kind: str | None = None) -> tuple[EntityView, ...]:
        """The entities by kind and id, of one kind if it is given."""
        return execute(ListEntities(kind=kind), self._context)

    def show(self, key: str) -> EntityView:
        """One entity, by kind and id; `InvalidInput` if there is none."""
        return execute(ShowEntity(key=key), self._context)

    def create(self, key: str, **values: object) -> Outcome:
        """Makes an entity.

        Args:
            key: kind and id, as "service/carts".
            values: its fields; what is not given has its default.
        """
        return execute(WriteEntity(key=key, values=values, is_new=True), self._context)

    def update(self, key: str, **values: object) -> Outcome:
        """Gives fields of an entity other values."""
        return execute(WriteEntity(key=key, values=values, is_new=False), self._context)

    def delete(self, key: str) -> Outcome:
        """Deletes an entity; refused while others stand on it."""
        return self._give("delete", key)

    def associate(self, key: str, field: str, value: str, **values: object) -> Outcome:
        """Puts a value into a list of an entity, as a condition into `conditions` of a rule.

        Args:
            key: kind and id of the entity.
            field: its list.
            value: the element.
            values: of a service of an app, `launch_order`.
        """
        asked = AssociateEntities(key=key, field=field, value=value, values=values, is_wanted=True)
        return execute(asked, self._context)

    def dissociate(self, key: str, field: str, value: str) -> Outcome:
        """Takes a value out of a list of an entity."""
        asked = AssociateEntities(key=key, field=field, value=value, values={}, is_wanted=False)
        return execute(asked, self._context)

    def seed(self, topology: str) -> tuple[str, ...]:
        """Makes the app that a topology is; the keys of what was made or changed."""
        return execute(SeedTopology(topology=topology), self._context)

    def seed_components(self, *kinds: ComponentKind) -> tuple[str, ...]:
        """Has each region with containers get a registry, a load balancer and a worker; keys as of `seed`.

        Args:
            kinds: of these alone; all where none is named.
        """
        return execute(SeedComponents(kinds=kinds), self._context)

    def launch(
        self,
        service: str,
        *,
        near: Place | None = None,
        host: str | None = None,
        count: int = 1,
        finish_s: float = 0.0,
    ) -> Outcome:
        """Launches containers of a service near a place, or on a host."""
        arguments = {**_where(near, host), "count": str(count)}
        return self._give("launch", f"service/{service}", arguments, finish_s)

    def launch_app(self, app: str, *, near: Place, finish_s: float = 0.0) -> Outcome:
        """Launches all services of an app near a place, in their order."""
        return self._give("launch_app", f"app/{app}", _where(near, None), finish_s)

    def replicate(
        self, container: str, *, near: Place | None = None, host: str | None = None, finish_s: float = 0.0
    ) -> Outcome:
        """Launches another container of the service of one."""
        return self._give("replicate", f"container/{container}", _where(near, host), finish_s)

    def migrate(
        self, container: str, *, near: Place | None = None, host: str | None = None, finish_s: float = 0.0
    ) -> Outcome:
        """Moves a container: a new one is launched, then the old one is stopped."""
        return self._give("migrate", f"container/{container}", _where(near, host), finish_s)

    def stop(self, container: str, *, finish_s: float = 0.0) -> Outcome:
        """Stops a container, and its databases on that host that nobody else there uses."""
        return self._give("stop", f"container/{container}", finish_s=finish_s)

    def drain(self, host: str) -> Outcome:
        """Moves all containers of a host elsewhere, and lets it take no new ones."""
        return self._give("drain", f"host/{host}")

    def activate(self, host: str) -> Outcome:
        """Lets a host take containers again."""
        return self._give("activate", f"host/{host}")

    def join(self, host: str) -> Outcome:
        """Starts a host if it is off, and makes it a node that takes containers."""
        return self._give("join", f"host/{host}")

    def leave(self, host: str) -> Outcome:
        """Takes a host, which must be empty, out of the cluster."""
        return self._give("leave", f"host/{host}")

    def assign(self, host: str, worker: str = "") -> Outcome:
        """Gives a host and its containers to a worker, or without one to the master."""
        return self._give("assign", f"host/{host}", {"worker": worker} if worker else {})

    def policies(self) -> PoliciesView:
        """The placement policies, and which is deployed."""
        return execute(ShowPolicies(), self._context)

    def deploy_policy(self, name: str) -> Outcome:
        """Has all managers decide by a policy; by what each was started with where the name is empty."""
        return execute(DeployPolicy(name=name), self._context)

    def compare_policies(self, *names: str, seed: int = 0, days: int = 3) -> tuple[PolicyRow, ...]:
        """What comes of the same simulated days under each policy, and under the controls; best first.

        Args:
            names: of policies; all that there are if there is none.
            seed: of the first day; each one after has the next.
            days: how many, 3 to 100.
        """
        return execute(ComparePolicies(names=names, seed=seed, days=days), self._context)

    def events(
        self,
        *,
        start: Literal["earliest", "latest"] | datetime = "earliest",
        entity: str = "",
        command_id: str = "",
        follow: bool = False,
    ) -> Iterator[ControlEvent]:
        """What was decided and what came of it, oldest first.

        Args:
            start: since when.
            entity: kind and id of what alone is of interest.
            command_id: of the command likewise.
            follow: also what will be decided, without an end.
        """
        asked = FollowControlEvents(start=start, entity=entity, command_id=command_id, follow=follow)
        return execute(asked, self._context)

    def _give(
        self,
        action: ControlAction,
        entity: str,
        arguments: Mapping[str, str] | None = None,
        finish_s: float = 0.0,
    ) -> Outcome:
        asked = GiveCommand(
            action=action, entity=entity, arguments=arguments or {}, answer_s=ANSWER_S, finish_s=finish_s
        )
        return execute(asked, self._context)


def _where(near: Place | None, host: str | None) -> dict[str, str]:
    """What is not given, the manager refuses."""
    found = {} if host is None else {"host": host}
    return found if near is None else {**found, "latitude": repr(near[0]), "longitude": repr(near[1])}
