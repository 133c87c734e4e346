"""One decision in the making."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from microservo.domain.manager.actions import Action, Assign, Order, Put, Remove, Report, Stop
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities import Container, Entity, PendingAction, entity_key, owned
from microservo.domain.manager.policy import Policy
from microservo.domain.manager.state import SystemState
from microservo.domain.rules import Evidence
from schemas.records import ControlAction, ControlCommand, ControlEvent, ControlState


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why something is decided.

    Attributes:
        rule: name of the rule that matched, or of the duty, as `minimum replicas`.
        command_id: of the command that asked for it.
        evidence: what the rule compared.
        reason: in a sentence.
    """

    rule: str = ""
    command_id: str = ""
    evidence: Sequence[Evidence] = ()
    reason: str = ""


class Step:
    """Collects how the state changes and what is to be done; lives as long as one `decide`.

    Attributes:
        state: changed as it is decided, so that what is decided next knows of it.
        now_us: the instant of the decision.
        touched: hosts and services that something was decided about, which is enough for now.
    """

    def __init__(self, state: SystemState, now_us: int) -> None:
        self.state = state
        self.now_us = now_us
        self.touched: dict[str, None] = {}
        self._actions: list[Action] = []

    @property
    def policy(self) -> Policy:
        """What decides."""
        assert self.state.deployed.policy is not None, "decide gives each state a policy first"
        return self.state.deployed.policy

    def actions(self) -> tuple[Action, ...]:
        """What is to be done, in this order."""
        return tuple(self._actions)

    def do(self, action: Action) -> None:
        """Adds an action."""
        self._actions.append(action)

    def put(self, entity: Entity, owner: str | None = None) -> None:
        """Writes an entity, which stays with its owner."""
        owner = owner or self.state.owners.get(entity_key(entity), self.state.name)
        self.state.put(entity, owner)
        self.do(Put(entity=entity, owner=owner))

    def change(self, container: Container, **changes: Any) -> Container:
        """Writes a container with other values."""
        changed = replace(container, **changes)
        self.put(changed)
        return changed

    def remove(self, key: str) -> None:
        """Deletes an entity."""
        self.state.remove(key)
        self.do(Remove(key=key))

    def substitute(self, container: Container, launch: Callable[[], Container | None]) -> Container | None:
        """Launches another container in the place of one that has ended, whose room it may take.

        The deletion is written behind the new one. Others read one message after the other: between a
        deletion that came first and the launch, the master would miss a replica, and add one that stays.

        Args:
            container: the one that has ended.
            launch: decides the launch, with the ended one gone from the state.

        Returns:
            The new one. None where there is no room; nothing of the ended one is written then.
        """
        key = entity_key(container)
        self.state.remove(key)
        launched = launch()
        if launched is not None:
            self.do(Remove(key=key))
        return launched

    def assign(self, entity: Entity, owner: str) -> None:
        """Gives an entity to a process; it is not written, but managed by that one from then on."""
        key = entity_key(entity)
        self.state.put(owned(entity, owner), owner)
        self.do(Assign(key=key, owner=owner))

    def identity(self, what: str) -> str:
        """A name that no other decision has, and that a replay gives again."""
        number = self.state.next_number()
        text = f"{self.state.name}\0{self.now_us}\0{what}\0{number}"
        return f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def wait(self, pending: PendingAction) -> None:
        """Has something done later, also after a restart."""
        self.put(pending, self.state.name)

    def forget(self, task: str, subject: str) -> PendingAction | None:
        """Takes back what was to be done later."""
        pending = self.state.pending.get(f"{task}:{subject}")
        if pending is not None:
            self.remove(entity_key(pending))
        return pending

    def report(
        self,
        key: str,
        action: str,
        cause: Cause,
        *,
        state: ControlState = "decided",
        decision_id: str = "",
        **details: str,
    ) -> str:
        """Says what was decided, or came of it.

        Args:
            key: kind and id of what it is about.
            action: what is done.
            cause: why.
            state: how far it has come.
            decision_id: of the decision; a new one by default.
            details: other fields of a `ControlEvent`: service, container, from_host, to_host.

        Returns:
            The decision's id.
        """
        identity = decision_id or self.identity(action)
        evidence = sorted((each.condition.field, each.value) for each in cause.evidence)
        event = ControlEvent(
            entity=key,
            decision_id=identity,
            state=state,
            at_us=self.now_us,
            manager=self.state.name,
            action=action,
            rule=cause.rule,
            command_id=cause.command_id,
            fields=tuple(field for field, _ in evidence),
            values=tuple(value for _, value in evidence),
            reason=cause.reason,
            **details,
        )
        self.do(Report(event=event))
        return identity

    def order(self, key: str, action: ControlAction, **arguments: str) -> None:
        """Gives a command to the process that owns what it is about."""
        command = ControlCommand(
            command_id=self.identity(f"{self.state.name}-{action}"),
            entity=key,
            action=action,
            requested_at_us=self.now_us,
            requested_by=self.state.name,
            arguments=arguments,
        )
        self.do(Order(command=command))

    def stop(self, container: Container, cause: Cause, *, action: str = "stop") -> None:
        """Stops a container, or has whoever manages it do so; one that others started is left alone."""
        key = entity_key(container)
        if not container.managed_by or container.state == "stopping":
            return
        self.report(
            key,
            action,
            cause,
            service=container.service,
            container=container.name,
            from_host=container.host,
        )
        if not self.state.manages(container):
            self.order(key, "stop")
        elif container.state == "waiting" or container.state in ("down", "given_up"):
            self.remove(key)
        else:
            self.change(container, state="stopping")
            self.do(Stop(container=container.name, host=container.host))


NOBODY = Cause()
__all__ = ["MASTER", "NOBODY", "Cause", "Step"]
