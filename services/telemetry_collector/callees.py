"""Which service answers a call whose span does not say so, from the spans of both sides.

A CLIENT or PRODUCER span and the SERVER or CONSUMER span below it carry the same trace and span id: the
service of the lower one is whom the upper one called. Either may come first. What was seen together teaches
by address, so that later calls of the same service to the same address are resolved at once::

    call without a peer ─┬─ its child has come ───► the child's service
                         ├─ its address is known ─► the service learned
                         └─ neither ──────────────► the address itself; its parcel waits a short while before,
                                                    but only when the address has just been seen first

Where no call is between two services (only servers are instrumented, or a queue stands there), the spans are
joined all the same, by the parent or by the link of a consumer to what was sent: `drain_links` tells them.

All in columns, in memory that does not grow: spans are kept in tables of a fixed size, where a new one
takes the place of an old one. Each of several collectors knows the spans that it received.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from microservo.domain.mixing import mixed
from microservo.domain.rows import Coded, SpanRows
from microservo.domain.telemetry import CLIENT_SPAN, CONSUMER_SPAN, PRODUCER_SPAN, SERVER_SPAN, Ids, UInt64
from microservo.sources.source import Parcel

_SLOTS = 1 << 18
"""Spans kept of each side: the last ten seconds at 25,000 a second."""
_NAMES = 1 << 14
"""Addresses or services known at once; beyond, all is forgotten and learned anew."""
_UNKNOWN = -1
_SEVERAL = -2
"""More than one service was seen at an address: only the child span itself shows it."""

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
_Name = TypeVar("_Name", str, tuple[str, str])


class Callees:
    """Resolves the calls among the spans of parcels.

    Args:
        wait_s: how long a parcel may wait for the spans of a callee that was never called before.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._links: Counter[tuple[str, str]] = Counter()
        self._forget()

    def resolve(self, parcels: Sequence[Parcel], now_s: float) -> tuple[list[Parcel], list[Parcel]]:
        """The parcels to ship, with the peers of their calls; and those to be resolved again a little later.

        Args:
            parcels: new ones, and those that wait.
            now_s: on a clock that never falls.
        """
        groups = [rows for parcel in parcels for rows in parcel.rows if isinstance(rows, SpanRows)]
        if not groups:
            return list(parcels), []
        is_full = max(len(self._addresses), len(self._services)) > _NAMES
        if is_full:
            self._forget()
        spans = _Spans(groups)
        address = self._learn(spans, now_s)
        callee = self._children.get(spans.keys[spans.call_rows])
        callee = np.where(callee == _UNKNOWN, self._addresses.callees(address), callee)
        waits = np.zeros(len(groups), bool)
        # With all that was forgotten the ends of waiting are gone, too: nothing waits a second time.
        if not is_full:
            unknown = (callee == _UNKNOWN) & self._addresses.may_wait(address, now_s)
            waits[spans.group[spans.call_rows[unknown]]] = True
        return self._sorted(parcels, spans, callee, waits)

    def drain_links(self) -> Mapping[tuple[str, str], int]:
        """How often a service's span lay below another service's that was no call of it, since last asked."""
        links, self._links = self._links, Counter()
        return links

    def _sorted(
        self, parcels: Sequence[Parcel], spans: _Spans, callee: Numbers, waits: Mask
    ) -> tuple[list[Parcel], list[Parcel]]:
        ready: list[Parcel] = []
        waiting: list[Parcel] = []
        names = list(self._services)
        begin = 0
        for parcel in parcels:
            end = begin + len(parcel.rows)
            if waits[begin:end].any():
                waiting.append(parcel)
            elif spans.call_counts[begin:end].any():
                rows = [
                    _with_peers(spans.groups[at], *spans.calls_of(at, callee), names)
                    if spans.call_counts[at]
                    else spans.groups[at]
                    for at in range(begin, end)
                ]
                ready.append(replace(parcel, rows=rows))
            else:
                ready.append(parcel)
            begin = end
        return ready, waiting

    def _learn(self, spans: _Spans, now_s: float) -> Numbers:
        """Remembers spans of both sides; returns the number of the address of each call."""
        service = np.array([_number(self._services, each.service) for each in spans.groups], np.int64)
        child_service = service[spans.group[spans.child_rows]]
        self._link(spans, service, child_service)
        self._children.put(spans.parent_keys, child_service)
        address = self._address_numbers(spans, now_s)
        keys = spans.keys[spans.call_rows]
        self._calls.put(keys, address)
        # A child may have come before its call, with it, or come only now.
        self._addresses.learn(address, self._children.get(keys))
        self._addresses.learn(self._calls.get(spans.parent_keys), child_service)
        return address

    def _link(self, spans: _Spans, service: Numbers, child_service: Numbers) -> None:
        """Counts pairs of an upper and a lower span when the later one of both comes."""
        keys = spans.keys[spans.upper_rows]
        upper_service = service[spans.group[spans.upper_rows]]
        self._count_links(upper_service, self._children.get(keys))
        self._uppers.put(keys, upper_service)
        self._count_links(self._uppers.get(spans.parent_keys), child_service)

    def _count_links(self, upper: Numbers, lower: Numbers) -> None:
        links = (upper != _UNKNOWN) & (lower != _UNKNOWN) & (upper != lower)
        if links.any():
            names = list(self._services)
            pairs = zip(upper[links].tolist(), lower[links].tolist(), strict=True)
            self._links.update((names[one], names[other]) for one, other in pairs)

    def _address_numbers(self, spans: _Spans, now_s: float) -> Numbers:
        found = [np.empty(0, np.int64)]
        for at in np.flatnonzero(spans.call_counts).tolist():
            rows = spans.groups[at]
            calls = spans.local_calls(at)
            address, endpoint = rows.address.codes[calls], rows.endpoint.codes[calls]
            nowhere = np.array([not name for name in rows.address.names])[address]
            # A call that gives no address is known by its name.
            code = np.where(nowhere, len(rows.address.names) + endpoint, address)
            different, place = np.unique(code, return_inverse=True)
            numbers = [self._addresses.number(rows, each, now_s) for each in different.tolist()]
            found.append(np.array(numbers, np.int64)[place])
        return np.concatenate(found)

    def _forget(self) -> None:
        self._services: dict[str, int] = {}
        self._addresses = _Addresses(self._wait_s)
        self._children = _Table()
        self._calls = _Table()
        self._uppers = _Table()


class _Addresses:
    """Where services call, by numbers: who was seen to answer there, and until when it is worth waiting."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._numbers: dict[tuple[str, str], int] = {}
        self._callees = np.full(_NAMES, _UNKNOWN, np.int64)
        self._wait_until_s = np.zeros(_NAMES)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, rows: SpanRows, code: int, now_s: float) -> int:
        """The number of an address in the rows' dictionary; beyond it stand the names of their endpoints."""
        names = rows.address.names
        name = names[code] if code < len(names) else f" {rows.endpoint.names[code - len(names)]}"
        number = _number(self._numbers, (rows.service, name))
        if number == len(self._callees):
            self._callees = np.append(self._callees, np.full(number, _UNKNOWN))
            self._wait_until_s = np.append(self._wait_until_s, np.zeros(number))
        if not self._wait_until_s[number]:
            self._wait_until_s[number] = now_s + self._wait_s
        return number

    def learn(self, address: Numbers, service: Numbers) -> None:
        """That services answer at addresses, row by row; rows without one of both teach nothing."""
        both = (address != _UNKNOWN) & (service != _UNKNOWN)
        address, service = address[both], service[both]
        known = self._callees[address]
        new = (known != service) & (known != _SEVERAL)
        for at, who in set(zip(address[new].tolist(), service[new].tolist(), strict=True)):
            self._callees[at] = who if self._callees[at] == _UNKNOWN else _SEVERAL

    def callees(self, address: Numbers) -> Numbers:
        """The service at each address, `_UNKNOWN` or `_SEVERAL`."""
        callees: Numbers = self._callees[address]
        return callees

    def may_wait(self, address: Numbers, now_s: float) -> Mask:
        """Whether an address was first called so lately that its callee may still be seen."""
        may_wait: Mask = now_s < self._wait_until_s[address]
        return may_wait


def _number(known: dict[_Name, int], name: _Name) -> int:
    return known.setdefault(name, len(known))


class _Table:
    """Numbers by the keys of spans, the newest ones; a slot holds one key."""

    def __init__(self) -> None:
        self._keys = np.zeros(_SLOTS, np.uint64)
        self._numbers = np.zeros(_SLOTS, np.int32)

    def put(self, keys: UInt64, numbers: Numbers) -> None:
        slots = _slots(keys)
        self._keys[slots] = keys
        self._numbers[slots] = numbers

    def get(self, keys: UInt64) -> Numbers:
        """The number of each key, `_UNKNOWN` where it is not there any more."""
        slots = _slots(keys)
        return np.where(self._keys[slots] == keys, self._numbers[slots], _UNKNOWN).astype(np.int64)


class _Spans:
    """The spans of many groups, one after the other.

    Attributes:
        group: of each span, the place of its group.
        keys: of each span, trace id and span id in one number.
        call_rows: places of the calls whose peer is not known.
        call_counts: of each group, how many of them it has.
        upper_rows: places of the others, below which another service's spans may lie, too.
        child_rows: places of the spans that answer a call, or take what was sent, once for each.
        parent_keys: of each of them, trace id and span id of what was called or sent, in one number.
    """

    def __init__(self, groups: Sequence[SpanRows]) -> None:
        self.groups = groups
        counts = [rows.count for rows in groups]
        self._begins = np.cumsum([0, *counts])
        self.group = np.repeat(np.arange(len(groups)), counts)
        kind = np.concatenate([rows.kind for rows in groups])
        trace = _trace_hashes(np.concatenate([rows.trace_id for rows in groups]))
        parent = np.concatenate([rows.parent_id for rows in groups]).view(np.uint64)
        self.keys = _keys(trace, np.concatenate([rows.span_id for rows in groups]).view(np.uint64))
        open_peer = np.concatenate([_is_open(rows.peer) for rows in groups])
        is_call = ((kind == CLIENT_SPAN) | (kind == PRODUCER_SPAN)) & open_peer
        is_child = (kind == SERVER_SPAN) | (kind == CONSUMER_SPAN)
        self.call_rows = np.flatnonzero(is_call)
        self.call_counts = np.bincount(self.group[self.call_rows], minlength=len(groups))
        self._call_begins = np.cumsum([0, *self.call_counts.tolist()])
        self.upper_rows = np.flatnonzero((kind != CLIENT_SPAN) & ~is_call)
        self.child_rows = np.flatnonzero(is_child & (parent != 0))
        self.parent_keys = _keys(trace[self.child_rows], parent[self.child_rows])
        if any(rows.links for rows in groups):
            self._add_links()

    def _add_links(self) -> None:
        """A consumer of a batch has what was sent as its links, each as good as a parent."""
        for at, rows in enumerate(self.groups):
            if rows.links is not None:
                sent = _keys(_trace_hashes(rows.links.trace_id), rows.links.span_id.view(np.uint64))
                self.child_rows = np.append(self.child_rows, rows.links.row + self._begins[at])
                self.parent_keys = np.append(self.parent_keys, sent)

    def local_calls(self, at: int) -> Numbers:
        """Places of the calls of one group, within it."""
        begin, end = self._call_begins[at : at + 2]
        places: Numbers = self.call_rows[begin:end] - self._begins[at]
        return places

    def calls_of(self, at: int, callee: Numbers) -> tuple[Numbers, Numbers]:
        """Places of the calls of one group, within it, and their callees."""
        begin, end = self._call_begins[at : at + 2]
        return self.local_calls(at), callee[begin:end]


def _with_peers(rows: SpanRows, calls: Numbers, callee: Numbers, services: Sequence[str]) -> SpanRows:
    """The rows whose calls have peers: the callee's name, or the address where there is none."""
    code = np.where(callee >= 0, callee, len(services) + rows.address.codes[calls])
    different, place = np.unique(code, return_inverse=True)
    index = {name: number for number, name in enumerate(rows.peer.names)}
    numbers = [
        index.setdefault(
            services[each] if each < len(services) else rows.address.names[each - len(services)], len(index)
        )
        for each in different.tolist()
    ]
    codes = rows.peer.codes.copy()
    codes[calls] = np.array(numbers, np.int64)[place]
    return replace(rows, peer=Coded(names=tuple(index), codes=codes))


def _is_open(peer: Coded) -> Mask:
    if "" not in peer.names:
        return np.zeros(len(peer.codes), bool)
    is_open: Mask = peer.codes == peer.names.index("")
    return is_open


def _trace_hashes(trace_ids: Ids) -> UInt64:
    halves = trace_ids.view(np.uint64).reshape(-1, 2)
    return mixed(halves[:, 0]) ^ halves[:, 1]


def _keys(trace: UInt64, span: UInt64) -> UInt64:
    return mixed(mixed(trace) ^ span)


def _slots(keys: UInt64) -> Numbers:
    return (keys & np.uint64(_SLOTS - 1)).astype(np.int64)
