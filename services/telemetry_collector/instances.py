"""Which instances send telemetry, and under which service: nobody's records go under another's name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields, replace

from microservo.domain.identity import Identity
from microservo.domain.rows import Rows
from microservo.sources.source import Parcel
from schemas.records import ServiceInstance

FOREIGN = "foreign/"
"""Stands before the service of a stranger that bears the name of one of the target's."""
_INSTANCES = 10_000
"""Told at most; the telemetry of further ones goes on without."""
_FIELDS = tuple(field.name for field in fields(Identity) if field.name not in {"kind", "is_target"})


class Instances:
    """Knows who sends; for one thread.

    The names of the target's services are known from its own telemetry and from what the platform measures of
    it each second, whether its services run or not. Processes that we run say in telemetry that they are
    of the target. Pods can't: of these a stranger is who says that its pod is in a namespace of others.

    Args:
        namespaces: those of a target in a cluster; none for one that says so itself.
    """

    def __init__(self, namespaces: Collection[str] = ()) -> None:
        self._namespaces = frozenset(namespaces)
        self._targets: set[str] = set()
        self._known: dict[tuple[str, str], _Known] = {}
        self._changed: dict[tuple[str, str], None] = {}

    def placed(self, parcel: Parcel) -> Parcel:
        """The parcel with each row under the service that is its own."""
        rows = [self._placed(each) for each in parcel.rows]
        return parcel if all(map(_is_same, rows, parcel.rows)) else replace(parcel, rows=rows)

    def drain(self, run_id: str, seen_us: int) -> Iterator[ServiceInstance]:
        """The instances that are new, or say something new of themselves, since last asked."""
        changed, self._changed = self._changed, {}
        for service, instance in changed:
            known = self._known[service, instance]
            said = {name: getattr(known.identity, name) for name in _FIELDS}
            yield ServiceInstance(
                run_id=run_id,
                service=service,
                instance=instance,
                kind=known.identity.kind,
                seen_us=seen_us,
                scopes=tuple(sorted(known.scopes)),
                **said,
            )

    def _placed(self, rows: Rows) -> Rows:
        if rows.identity.is_target:
            self._targets.add(rows.service)
        elif (service := self._service(rows)) != rows.service:
            rows = replace(rows, service=service)
        self._see(rows)
        return rows

    def _service(self, rows: Rows) -> str:
        identity = rows.identity
        if rows.service in self._targets:
            return FOREIGN + rows.service if self._is_stranger(identity) else rows.service
        # OpenTelemetry's operator says of a service in which namespace of the cluster it is.
        is_named = identity.namespace in self._namespaces and identity.name in self._targets
        return identity.name if is_named and not self._is_stranger(identity) else rows.service

    def _is_stranger(self, identity: Identity) -> bool:
        namespace, is_named, _ = identity.pod.partition("/")
        return not self._namespaces or (bool(is_named) and namespace not in self._namespaces)

    def _see(self, rows: Rows) -> None:
        key = (rows.service, rows.instance)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _INSTANCES:
                return
            known = self._known[key] = _Known()
        if known.learn(rows.identity, rows.scopes):
            self._changed[key] = None


class _Known:
    """What an instance has said of itself; who measures it from outside says less, and takes nothing away."""

    def __init__(self) -> None:
        self.identity = Identity()
        self.scopes: set[str] = set()
        self._last: tuple[Identity, tuple[str, ...]] | None = None

    def learn(self, identity: Identity, scopes: tuple[str, ...]) -> bool:
        """Whether any of it is new."""
        # A sender mostly says the same.
        if (identity, scopes) == self._last:
            return False
        is_first = self._last is None
        self._last = (identity, scopes)
        said = {name: value for name in _FIELDS if (value := getattr(identity, name))}
        before = (self.identity, len(self.scopes))
        self.identity = replace(self.identity, kind=identity.kind, is_target=identity.is_target, **said)
        self.scopes.update(scopes)
        return is_first or before != (self.identity, len(self.scopes))


def _is_same(one: Rows, other: Rows) -> bool:
    return one is other
