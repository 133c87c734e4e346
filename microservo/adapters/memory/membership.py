"""A consumer's part in a group: how it joins, gives up and gets partitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from microservo.adapters.broker import Partition
from microservo.adapters.memory.store import Group, Member, Store

Listener = Callable[[list[Partition]], None]

_ids = count()


class Membership:
    """One member of one group.

    As in Kafka's range protocol, all members give up their partitions before any gets one: a member that no
    longer consumes holds the others up, for ever, since nobody is thrown out here.
    """

    def __init__(
        self,
        store: Store,
        group: Group,
        topics: Sequence[str],
        *,
        on_assign: Listener | None,
        on_revoke: Listener | None,
    ) -> None:
        self._store = store
        self._group = group
        self._id = next(_ids)
        self._member = Member(frozenset(topics))
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        with store.changed:
            group.members[self._id] = self._member
            self._regroup()

    @property
    def topics(self) -> frozenset[str]:
        """What is subscribed to."""
        return self._member.topics

    @property
    def settled(self) -> bool:
        """Whether this member has partitions, if only none at all, and need not give them up."""
        return self._member.held is not None and self._member.generation == self._group.generation

    def holds(self, partition: Partition) -> bool:
        """Whether the partition is this member's now."""
        return partition in (self._member.held or ())

    def settle(self) -> list[Partition] | None:
        """Gives up or gets partitions where the group changed; the new ones, or None where none came."""
        with self._store.changed:
            changed = self._member.generation != self._group.generation
        if changed:
            self._revoke()
        return self._get()

    def leave(self) -> None:
        """Gives everything up and leaves."""
        self._revoke()
        with self._store.changed:
            del self._group.members[self._id]
            self._regroup()

    def _regroup(self) -> None:
        self._group.generation += 1
        self._store.changed.notify_all()

    def _revoke(self) -> None:
        # Called outside the lock and before the partitions are free: the listener may commit them.
        if self._member.held is not None and self._on_revoke is not None:
            self._on_revoke(self._member.held)
        with self._store.changed:
            self._member.held = None
            self._member.generation = self._group.generation
            self._store.changed.notify_all()

    def _get(self) -> list[Partition] | None:
        with self._store.changed:
            if self._member.held is not None or not self._group.released:
                return None
            got = self._member.held = self._store.shares(self._group, self._member)
        if self._on_assign is not None:
            self._on_assign(got)
        return got
