"""One truth for the master and its workers: which changes on `system-state` hold.

The topic is a log in which the messages of an entity have one order, so it is enough that every reader judges
them alike: `accept` is that judgement, a function of what the reader holds and of the next message, and of
nothing else. A change names the one that it follows (`base`), so what was written without knowing the newest
state is refused by everyone. An entity has one owner, who alone changes it; only the master gives it another
one, with the next epoch.

A process has lives, one after the other, and each begins by saying so on the topic (`life_began`). Behind
that message nothing counts that an earlier life of the same process writes: one that was paused and goes on.

Compaction keeps the newest message of an entity even if it was refused. So whoever is responsible says again
what holds (`correction`), naming the refused change: who reads only the compacted log holds that one, and is
led back. Why this is enough: docs/decisions/0019-shared-state.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from schemas.records import EntityChange

MASTER = "master"
GRAVE_US = 86_400_000_000
"""For how long a deletion is remembered at least, and the message that says it stays on the topic."""

Outcome = Literal["accepted", "corrected", "known", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One message on `system-state`.

    Attributes:
        entity: kind and id, with a slash between.
        version: 1, and one more with each accepted change of the entity.
        epoch: 1, and one more with each time that the entity is given an owner.
        owner: who alone may change it from then on.
        writer: who changed it.
        updated_at_us: when, epoch microseconds UTC.
        base: identity of the change that this one follows; empty where the writer knew none.
        corrects: identity of the refused change that this one takes the place of; empty otherwise.
        life_us: when the writer's life began, epoch microseconds UTC; 0 where it does not say.
        document: the entity as JSON text; None where it is deleted.
    """

    entity: str
    version: int
    epoch: int
    owner: str
    writer: str
    updated_at_us: int
    base: str = ""
    corrects: str = ""
    life_us: int = 0
    document: str | None

    @property
    def identity(self) -> str:
        """What others call it: equal for changes that leave the same behind."""
        text = "\0".join((self.owner, "-" if self.document is None else f"+{self.document}"))
        return f"{self.epoch}.{self.version}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def is_deletion(self) -> bool:
        return self.document is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of a change.

    Attributes:
        outcome: `accepted`; `corrected`, which is accepted in place of what should never have held; `known`,
            which says what holds already; or `refused`.
        current: what holds from now on; None where nothing does.
        reason: why it was refused, in a sentence; empty otherwise.
    """

    outcome: Outcome
    current: Change | None
    reason: str = ""


def accept(current: Change | None, change: Change, *, newest_life_us: int = 0) -> Judgement:
    """Judges the next message of an entity; every reader comes to the same judgement.

    Args:
        current: what the reader holds, a deletion too; None where it has read nothing of the entity.
        change: the next one in the order of the log.
        newest_life_us: the newest life of its writer that the reader has read of.

    Example:
        >>> made = Change(
        ...     entity="host/a", version=1, epoch=1, owner="w", writer="w", updated_at_us=0, document="{}"
        ... )
        >>> accept(made, replace(made, writer="x", document="[]")).reason
        'it follows nothing, but version 1 of epoch 1 by w stands'
    """
    if change.life_us < newest_life_us:
        # Also if it says what holds: compaction may keep it in place of the message that was accepted.
        reason = f"an earlier life of {change.writer} wrote it, behind the beginning of a later one"
        return Judgement(outcome="refused", current=current, reason=reason)
    if current is None:
        return Judgement(outcome="accepted", current=change)
    identity = current.identity
    if change.identity == identity:
        return Judgement(outcome="known", current=current)
    if change.corrects == identity and change.base != identity:
        return Judgement(outcome="corrected", current=change)
    if reason := _refusal(current, identity, change):
        return Judgement(outcome="refused", current=current, reason=reason)
    return Judgement(outcome="accepted", current=change)


def _refusal(current: Change, identity: str, change: Change) -> str:
    stands = f"version {current.version} of epoch {current.epoch} by {current.writer} stands"
    if current.is_deletion and _is_past(current, change):
        return "" if change.version == change.epoch == 1 else f"it follows {change.base}, long deleted"
    if change.base != identity:
        return f"it follows {change.base or 'nothing'}, but {stands}"
    if change.version != current.version + 1:
        return f"it has version {change.version}, but {stands}"
    if change.epoch == current.epoch + 1:
        return _refusal_of_owner(current, change)
    if change.epoch != current.epoch:
        return f"it has epoch {change.epoch}, but {stands}"
    return _refusal_within_epoch(current, change, stands)


def _refusal_of_owner(current: Change, change: Change) -> str:
    """Why an owner can't be given to an entity; who makes a deleted one again may own it."""
    is_made_again = current.is_deletion and change.writer == change.owner
    if change.writer == MASTER or is_made_again:
        return ""
    return f"{change.writer} may give it to nobody; only {MASTER} may"


def _refusal_within_epoch(current: Change, change: Change, stands: str) -> str:
    if current.is_deletion and not (change.corrects and change.is_deletion):
        return f"it was deleted; {stands}"
    if change.owner != current.owner:
        return f"it has owner {change.owner!r}, but {stands}, and a new owner needs a new epoch"
    if change.writer != current.owner and not (change.corrects and change.writer == MASTER):
        return f"{change.writer} wrote it, but {current.owner} owns the entity"
    return ""


def _is_past(deletion: Change, change: Change) -> bool:
    """Whether a change that follows nothing comes when the deletion may be forgotten, by their own times."""
    return not change.base and change.updated_at_us - deletion.updated_at_us >= GRAVE_US


def created(
    entity: str, document: str, *, grave: Change | None, owner: str, writer: str, at_us: int
) -> Change:
    """The first change of an entity, or of one that was deleted and is made again.

    Args:
        entity: kind and id.
        document: the entity as JSON text.
        grave: the deletion, where one is remembered.
        owner: whose it is.
        writer: who makes it.
        at_us: when, epoch microseconds UTC.
    """
    return Change(
        entity=entity,
        version=1 if grave is None else grave.version + 1,
        epoch=1 if grave is None else grave.epoch + 1,
        owner=owner,
        writer=writer,
        updated_at_us=at_us,
        base="" if grave is None else grave.identity,
        document=document,
    )


def followed(current: Change, document: str | None, *, writer: str, at_us: int) -> Change:
    """The owner's next change of an entity, which may be its deletion."""
    return replace(
        current,
        version=current.version + 1,
        writer=writer,
        updated_at_us=at_us,
        base=current.identity,
        corrects="",
        document=document,
    )


def taken_over(current: Change, document: str | None, *, owner: str, at_us: int) -> Change:
    """The master's change of an entity that gives it an owner; the former one's changes count no more."""
    change = followed(current, document, writer=MASTER, at_us=at_us)
    return replace(change, epoch=current.epoch + 1, owner=owner)


def correction(current: Change, refused: Change, *, writer: str, at_us: int) -> Change:
    """What holds, said again so that it is the newest message of the entity.

    Args:
        current: the newest change of the writer's own making, where it has some under way.
        refused: what it takes the place of.
        writer: the owner, or the master where the owner is silent.
        at_us: when, epoch microseconds UTC.
    """
    change = followed(current, current.document, writer=writer, at_us=at_us)
    return replace(change, corrects=refused.identity)


def never_held(refused: Change, *, writer: str, at_us: int) -> Change:
    """Says that there is no such entity, where a refused change is all that was ever written of it."""
    return Change(
        entity=refused.entity,
        version=1,
        epoch=1,
        owner=refused.owner,
        writer=writer,
        updated_at_us=at_us,
        corrects=refused.identity,
        document=None,
    )


_LIFE = "life/"


def life_began(writer: str, life_us: int) -> Change:
    """The message with which a life of a process begins; it is no entity's."""
    return Change(
        entity=_LIFE + writer,
        version=1,
        epoch=1,
        owner=writer,
        writer=writer,
        updated_at_us=life_us,
        life_us=life_us,
        document="{}",
    )


def says_life(change: Change) -> bool:
    """Whether a message says that a life began, and nothing of an entity."""
    return change.entity.startswith(_LIFE)


_HEADERS = ("version", "epoch", "owner", "writer", "updated_at_us", "base", "corrects", "life_us")
Headers = tuple[tuple[str, bytes], ...]


def change_of(record: EntityChange) -> Change:
    """The change that a message with a value says."""
    fields = {name: getattr(record, name) for name in _HEADERS}
    return Change(entity=record.entity, document=record.document, **fields)


def record_of(change: Change) -> EntityChange:
    """The value of a change's message, where it deletes nothing."""
    assert change.document is not None, "a deletion has headers and no value"
    fields = {name: getattr(change, name) for name in _HEADERS}
    return EntityChange(entity=change.entity, document=change.document, **fields)


def deletion_headers(change: Change) -> Headers:
    """What a message without a value says in its headers."""
    return tuple((name, str(getattr(change, name)).encode()) for name in _HEADERS)


def deletion_of(entity: str, headers: Sequence[tuple[str, bytes]]) -> Change:
    """The deletion that a message without a value says.

    Raises:
        ValueError: its headers say no deletion; it belongs on the dead-letter topic.
    """
    # Deletions from before there were lives say none.
    found: Mapping[str, bytes] = {"life_us": b"0", **dict(headers)}
    try:
        version, epoch, updated_at_us, life_us = (
            int(found[name]) for name in ("version", "epoch", "updated_at_us", "life_us")
        )
        owner, writer, base, corrects = (
            found[name].decode() for name in ("owner", "writer", "base", "corrects")
        )
    except (KeyError, ValueError) as error:
        msg = (
            f"deletion of {entity!r}: header {error} is missing or malformed; expected {', '.join(_HEADERS)}"
        )
        raise ValueError(msg) from error
    return Change(
        entity=entity,
        version=version,
        epoch=epoch,
        owner=owner,
        writer=writer,
        updated_at_us=updated_at_us,
        base=base,
        corrects=corrects,
        life_us=life_us,
        document=None,
    )
