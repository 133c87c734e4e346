"""What one process holds of `system-state`, and what it has written and not read back yet.

A process writes by its own view, at once, also while it is cut off. It learns from the log what holds: its
own changes come back to it like those of others. When it was cut off it reads to the end first and offers
what is left of its own afterwards; what was deleted or given to another owner meanwhile is dropped, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from microservo.domain.manager.changes import (
    GRAVE_US,
    MASTER,
    Change,
    Judgement,
    accept,
    correction,
    created,
    followed,
    never_held,
    says_life,
    taken_over,
)
from microservo.errors import InvalidInput

FORGET_US = 2 * GRAVE_US
"""Age from which deletions may be forgotten: clocks of two writers differ by less than the rest."""

Intent = Literal["create", "update", "delete", "assign", "correct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A change of this process's own that it has not read back yet.

    Attributes:
        intent: what it is for, from which it is made again when the entity has changed before it.
        number: changes are published in this order, also those of several entities.
        is_sent: whether it was given to be published since it was made.
    """

    change: Change
    intent: Intent
    number: int
    is_sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A change of this process's own that won't hold."""

    change: Change
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What came of a message."""

    judgement: Judgement
    dropped: tuple[Dropped, ...] = ()


class Replica:
    """The entities as one process knows them.

    Args:
        name: of the process: master, or that of a worker.
        outbox: what an earlier life of the process had not read back, as `Replica.outbox` gave it.
        life_us: when this life of the process began, epoch microseconds UTC.

    Attributes:
        life_us: likewise; what is written says it.
    """

    def __init__(self, name: str, outbox: Iterable[Pending] = (), *, life_us: int = 0) -> None:
        self.name = name
        self.life_us = life_us
        self._lives: dict[str, int] = {}
        """The newest life of each writer, by what was read."""
        self._held: dict[str, Change] = {}
        self._pending: dict[str, list[Pending]] = {}
        self._refused: dict[str, dict[str, Change]] = {}
        for pending in outbox:
            entity = pending.change.entity
            change = replace(pending.change, life_us=life_us)
            self._pending.setdefault(entity, []).append(replace(pending, change=change, is_sent=False))
        self._written = 1 + max((each.number for each in self.outbox), default=0)

    @property
    def outbox(self) -> tuple[Pending, ...]:
        """What has not been read back, in an order in which it may be published."""
        found = (pending for of_entity in self._pending.values() for pending in of_entity)
        return tuple(sorted(found, key=lambda each: each.number))

    def holding(self) -> Iterator[Change]:
        """What holds by the log, deletions included, in the order in which entities became known."""
        yield from self._held.values()

    def held(self, entity: str) -> Change | None:
        """What holds of an entity by the log, a deletion too."""
        return self._held.get(entity)

    def view(self, entity: str) -> Change | None:
        """What this process takes to hold: the log, and its own changes on top."""
        pending = self._pending.get(entity)
        return pending[-1].change if pending else self._held.get(entity)

    def create(self, entity: str, document: str, at_us: int, *, owner: str = "") -> Change:
        """Makes an entity.

        Args:
            entity: kind and id.
            document: JSON text.
            at_us: the instant, epoch microseconds UTC.
            owner: whose it is; this process's own by default.

        Raises:
            InvalidInput: there is one of that name.
        """
        known = self.view(entity)
        if known is not None and not known.is_deletion:
            msg = f"{entity!r} exists, in version {known.version}; update it, or choose another name"
            raise InvalidInput(msg)
        change = created(
            entity, document, grave=known, owner=owner or self.name, writer=self.name, at_us=at_us
        )
        return self._write(change, "create")

    def update(self, entity: str, document: str, at_us: int) -> Change:
        """Changes an entity of this process's own.

        Raises:
            InvalidInput: there is none, or another process owns it.
        """
        return self._write(followed(self._own(entity), document, writer=self.name, at_us=at_us), "update")

    def delete(self, entity: str, at_us: int) -> Change:
        """Deletes an entity; the master may delete what others own.

        Raises:
            InvalidInput: there is none, or another process owns it and this one is not the master.
        """
        known = self._living(entity)
        if self.name == MASTER and known.owner != MASTER:
            return self._write(taken_over(known, None, owner=MASTER, at_us=at_us), "delete")
        return self._write(followed(self._own(entity), None, writer=self.name, at_us=at_us), "delete")

    def assign(self, entity: str, owner: str, at_us: int) -> Change:
        """Gives an entity an owner.

        Raises:
            InvalidInput: there is no such entity, or this process is not the master.
        """
        known = self._living(entity)
        if self.name != MASTER:
            msg = f"{self.name!r} can't give {entity!r} to {owner!r}; only {MASTER!r} assigns, so ask it to"
            raise InvalidInput(msg)
        return self._write(taken_over(known, known.document, owner=owner, at_us=at_us), "assign")

    def _living(self, entity: str) -> Change:
        known = self.view(entity)
        if known is None or known.is_deletion:
            msg = f"there is no {entity!r}; create it first, or choose one that exists"
            raise InvalidInput(msg)
        return known

    def _own(self, entity: str) -> Change:
        known = self._living(entity)
        if known.owner != self.name:
            way_out = f"ask it, or have {MASTER!r} assign it to {self.name!r}"
            msg = f"{entity!r} is owned by {known.owner!r}; {way_out}"
            raise InvalidInput(msg)
        return known

    def _write(self, change: Change, intent: Intent) -> Change:
        change = replace(change, life_us=self.life_us)
        pending = Pending(change=change, intent=intent, number=self._written)
        self._written += 1
        self._pending.setdefault(change.entity, []).append(pending)
        return change

    def offers(self, *, again: bool = False) -> list[Change]:
        """What is to be published now, in the order in which it was written.

        Args:
            again: also what was given out before; after the connection was lost, once all has been read.
        """
        found = []
        for pending in self._pending.values():
            for number, each in enumerate(pending):
                if again or not each.is_sent:
                    found.append(each)
                    pending[number] = replace(each, is_sent=True)
        return [each.change for each in sorted(found, key=lambda each: each.number)]

    def correct(self, at_us: int, *, silent: frozenset[str] = frozenset()) -> None:
        """Has what holds said again where a refused change is the newest message; called at the log's end.

        Args:
            at_us: the instant, epoch microseconds UTC.
            silent: processes that don't answer, which the master speaks for.
        """
        speaks_for = {self.name} | (silent if self.name == MASTER else frozenset())
        for entity, refused in self._refused.items():
            current = self._held.get(entity)
            answered = {each.change.corrects for each in self._pending.get(entity, ())}
            for identity, change in refused.items():
                owner = change.owner if current is None else current.owner
                if identity in answered or owner not in speaks_for:
                    continue
                newest = self.view(entity)
                if newest is None:
                    said = never_held(change, writer=self.name, at_us=at_us)
                else:
                    said = correction(newest, change, writer=self.name, at_us=at_us)
                self._write(said, "correct")

    def read(self, change: Change) -> Read:
        """Enters the next message of the log."""
        entity, newest_us = change.entity, self._lives.get(change.writer, 0)
        self._lives[change.writer] = max(newest_us, change.life_us)
        if says_life(change):
            return Read(judgement=Judgement(outcome="known", current=None))
        judgement = accept(self._held.get(entity), change, newest_life_us=newest_us)
        if judgement.current is not None:
            self._held[entity] = judgement.current
        self._note(change, judgement)
        return Read(judgement=judgement, dropped=tuple(self._reconcile(entity, change)))

    def forget(self, before_us: int) -> None:
        """Forgets deletions from before an instant, `FORGET_US` ago or more."""
        for entity, change in list(self._held.items()):
            is_idle = entity not in self._pending and entity not in self._refused
            if change.is_deletion and change.updated_at_us < before_us and is_idle:
                del self._held[entity]

    def _note(self, change: Change, judgement: Judgement) -> None:
        """Which refused changes are still to be corrected."""
        if judgement.outcome == "refused":
            self._refused.setdefault(change.entity, {})[change.identity] = change
            return
        refused = self._refused.get(change.entity)
        if refused is None:
            return
        if judgement.outcome == "corrected":
            # What this reader held until now never held, so its refusals are worth nothing.
            refused.clear()
        refused.pop(change.corrects, None)
        if not refused:
            del self._refused[change.entity]

    def _reconcile(self, entity: str, change: Change) -> Iterator[Dropped]:
        pending = self._pending.get(entity)
        if not pending:
            return
        held = self._held.get(entity)
        if held is None:
            return
        if change.identity == pending[0].change.identity and held.identity == change.identity:
            pending.pop(0)
        if pending and pending[0].change.base != held.identity:
            yield from self._rebase(entity, pending, held)
        if not pending:
            del self._pending[entity]

    def _rebase(self, entity: str, pending: list[Pending], held: Change) -> Iterator[Dropped]:
        """Makes what is pending anew upon what holds, or drops it."""
        before, newest = tuple(pending), held
        pending.clear()
        for number, each in enumerate(before):
            again = self._upon(newest, each)
            if again is None:
                reason = _why(entity, held)
                yield from (Dropped(change=left.change, reason=reason) for left in before[number:])
                return
            again = replace(again, life_us=self.life_us)
            pending.append(Pending(change=again, intent=each.intent, number=each.number))
            newest = again

    def _upon(self, newest: Change, pending: Pending) -> Change | None:
        """The change made anew; None where it makes no sense any more."""
        change, at_us = pending.change, pending.change.updated_at_us
        if newest.is_deletion or pending.intent == "create":
            return None
        if self.name == MASTER and pending.intent == "assign":
            return taken_over(newest, newest.document, owner=change.owner, at_us=at_us)
        if self.name == MASTER and pending.intent == "delete" and newest.owner != MASTER:
            return taken_over(newest, None, owner=MASTER, at_us=at_us)
        if newest.owner != self.name:
            return None
        document = newest.document if pending.intent == "correct" else change.document
        return replace(followed(newest, document, writer=self.name, at_us=at_us), corrects=change.corrects)


def _why(entity: str, held: Change) -> str:
    if held.is_deletion:
        return f"{entity!r} was deleted by {held.writer!r} meanwhile; create it again if it is needed"
    return (
        f"{entity!r} belongs to {held.owner!r} by now, in version {held.version}; ask it to make the change"
    )
