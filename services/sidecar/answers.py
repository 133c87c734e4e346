"""Changes the answers of one connection on their way to the caller, as the faults in force want it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

from services.sidecar.fault_set import AnswerHit, FaultSet, Hit
from services.sidecar.faults.base import Effect
from services.sidecar.framing import Frame, Head

# What is patched is held back whole; what is larger passes as it is.
MAX_PATCHED_BYTES = 1_048_576
_LENGTH = re.compile(rb"(\r\ncontent-length:[ \t]*)(\d+)", re.IGNORECASE)
_CODED = re.compile(rb"\r\n(?:content|transfer)-encoding:", re.IGNORECASE)


class Part(NamedTuple):
    """Some bytes of an answer; `ends` with the status that it is counted by marks its last."""

    data: bytes
    hits: Sequence[Hit] = ()
    ends: bool = False
    status: int = 0


class Answers:
    """The answers of one connection, in the order in which they come.

    Args:
        faults: asked once about each answer, when its head is here.
    """

    def __init__(self, faults: FaultSet) -> None:
        self._faults = faults
        self._hits: Sequence[AnswerHit] = ()
        self._status = 0
        self._held: bytearray | None = None
        self._head = b""
        self._cut_by: AnswerHit | None = None
        self._left_bytes = 0

    def parts(self, frame: Frame, request: Head | None) -> Iterator[Part]:
        """What leaves of a frame; `request` is what it answers, None where that is not known."""
        if frame.status:
            self._begin(frame, request)
            data = self._head_of(frame)
        elif self._held is not None:
            self._held += frame.data
            data = self._patched() if frame.ends else b""
        elif self._cut_by is not None:
            yield from self._cut(frame)
            return
        else:
            data = frame.data
        if data:
            yield from self._ending(data, frame.ends)

    def end(self) -> Sequence[Hit]:
        """What happens to the end of the connection."""
        wanted = self._faults.answer_hits(None) if self._faults.touches_answers else ()
        return [Hit(by, Effect(hold_s=effect.hold_end_s)) for by, effect in wanted]

    def _begin(self, frame: Frame, request: Head | None) -> None:
        """Asks the faults about an answer."""
        self._hits, self._status, self._held, self._cut_by = (), frame.status, None, None
        if request is None or not self._faults.touches_answers:
            return
        self._hits = self._faults.answer_hits(request)
        cuts = {hit.effect.after_bytes: hit for hit in self._hits if hit.effect.after_bytes is not None}
        if cuts:
            self._left_bytes = min(cuts)
            self._cut_by = cuts[self._left_bytes]

    def _head_of(self, frame: Frame) -> bytes:
        """What leaves of a head for now: nothing of one whose length may still change."""
        head = self._with_status(frame.data)
        if frame.ends or not any(effect.patch for _, effect in self._hits) or not _is_patchable(head):
            return head
        self._head, self._held = head, bytearray()
        return b""

    def _with_status(self, head: bytes) -> bytes:
        """The head with the first status that a fault wants."""
        for by, effect in self._hits:
            if effect.status:
                by.act()
                self._status = effect.status
                version, _, rest = head.partition(b"\r\n")
                line = f"{effect.status} {reason_of(effect.status)}".encode("ascii")
                return version.split(b" ", 1)[0] + b" " + line + b"\r\n" + rest
        return head

    def _patched(self) -> bytes:
        """An answer with the fields that faults want, and a head made to fit; or as it came."""
        assert self._held is not None
        body, self._held = bytes(self._held), None
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            return self._head + body
        for by, effect in self._hits:
            if effect.patch is not None:
                by.act()
                value[effect.patch[0]] = effect.patch[1]
        body = json.dumps(value).encode()
        return _LENGTH.sub(rb"\g<1>%d" % len(body), self._head, count=1) + body

    def _cut(self, frame: Frame) -> Iterator[Part]:
        """The part of a body, ended where it is to be cut."""
        assert self._cut_by is not None
        if len(frame.data) <= self._left_bytes:
            self._left_bytes -= len(frame.data)
            yield from self._ending(frame.data, frame.ends)
            return
        by, self._cut_by = self._cut_by.by, None
        by.act()
        yield Part(frame.data[: self._left_bytes], [Hit(by, Effect(cut=True))])
        # Where the fault ends before this is sent, nothing is cut, and the rest is to follow.
        yield from self._ending(frame.data[self._left_bytes :], frame.ends)

    def _ending(self, data: bytes, ends: bool) -> Iterator[Part]:
        """Some bytes of an answer; the last byte apart where a fault holds it."""
        holds = [hit for hit in self._hits if hit.effect.hold_end_s] if ends else []
        if not holds:
            yield Part(data, ends=ends, status=self._status if ends else 0)
            return
        for hit in holds:
            hit.by.act()
        if data[:-1]:
            yield Part(data[:-1])
        held = [Hit(by, Effect(hold_s=effect.hold_end_s)) for by, effect in holds]
        yield Part(data[-1:], held, ends=True, status=self._status)


def reason_of(status: int) -> str:
    """The phrase of a status (RFC 9110)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _is_patchable(head: bytes) -> bool:
    """Whether the body comes as it is, is not too long, and says how long that is."""
    length = _LENGTH.search(head)
    return length is not None and int(length[2]) <= MAX_PATCHED_BYTES and not _CODED.search(head)
