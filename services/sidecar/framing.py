"""Cuts one direction of a connection into HTTP/1 messages, byte for byte as they came.

httptools judges what a message is but does not say where in the bytes it ends. So it is fed slices that
can't reach beyond an end: a head up to its blank line, a body of known length to its last byte, chunked
coding line by line (RFC 9112 section 7.1: its end is the end of a line). Whatever is not HTTP/1 passes as
opaque bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

import httptools

from microservo.platforms.local.request_headers import CALLER, PLACE

MAX_HEAD_BYTES = 65_536
_CALLER = CALLER.encode("ascii")
_PLACE = PLACE.encode("ascii")
_BLANK_LINE = b"\r\n\r\n"


class Head(NamedTuple):
    """What faults may know of a request; `peer` is the service that makes it, "" where it does not say.

    So is `place`, where it is made, as `microservo.platforms.local.request_headers.PLACE` has it.
    """

    method: str
    endpoint: str
    peer: str = ""
    place: str = ""


class Frame(NamedTuple):
    """Some bytes of the stream; those that begin a message have `head` or `status`, its last has `ends`."""

    data: bytes
    head: Head | None = None
    ends: bool = False
    status: int = 0


class _Body(Enum):
    NONE = auto()
    FIXED = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


class Framer(ABC):
    """One direction; `opaque` once its bytes are known not to be HTTP/1 (then for good)."""

    def __init__(self) -> None:
        self.opaque = False
        self._pending = b""
        self._body = _Body.NONE
        self._left = 0
        self._restart()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes; a head is kept back until its blank line is here."""
        frames: list[Frame] = []
        while data and not self.opaque:
            frame, data = self._head(data) if self._body is _Body.NONE else self._content(data)
            if frame.data:
                frames.append(frame)
        if data:
            frames.append(Frame(self.flush() + data))
        return frames

    def flush(self) -> bytes:
        """The bytes kept back so far, which no longer are: used at the end of the stream."""
        pending, self._pending = self._pending, b""
        return pending

    # What httptools calls, by these names.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        if lowered == b"content-length" and value.isdigit():
            self._length = int(value)
        elif lowered == b"transfer-encoding" and b"chunked" in value.lower():
            self._chunked = True
        elif lowered == _CALLER:
            self._caller = value
        elif lowered == _PLACE:
            self._place = value

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_message_complete(self) -> None:
        self._complete = True

    def _restart(self) -> None:
        self._parser = self._new_parser()
        self._begin()

    def _begin(self) -> None:
        self._url = self._caller = self._place = b""
        self._length = 0
        self._chunked = self._headed = self._complete = False

    def _head(self, data: bytes) -> tuple[Frame, bytes]:
        known = len(self._pending)
        pending = self._pending + data
        found = pending.find(_BLANK_LINE, max(0, known - len(_BLANK_LINE) + 1))
        end = found + len(_BLANK_LINE) if found >= 0 else len(pending)
        self._parse(pending[known:end])
        if self.opaque or (found < 0 and (self._headed or end > MAX_HEAD_BYTES)):
            self.opaque, self._pending = True, b""
            return Frame(pending[:end]), pending[end:]
        self._pending = pending if found < 0 else b""
        if found < 0 or not self._headed:
            return Frame(b"" if found < 0 else pending[:end]), pending[end:]
        return self._headed_frame(pending[:end]), pending[end:]

    def _headed_frame(self, data: bytes) -> Frame:
        head, status, final = self._describe(), self._status(), self._is_final()
        if self._is_bodyless():
            self._complete = True
            self._parser = self._new_parser()
        if self._complete:
            self._begin()
            return Frame(data, head, final, status)
        self._left = self._length
        fixed = _Body.FIXED if self._length else _Body.UNTIL_CLOSE
        self._body = _Body.CHUNKED if self._chunked else fixed
        return Frame(data, head, status=status)

    def _content(self, data: bytes) -> tuple[Frame, bytes]:
        end = {_Body.FIXED: self._fixed, _Body.CHUNKED: self._lines}.get(self._body, len)(data)
        if not self._complete:
            return Frame(data[:end]), data[end:]
        self._body = _Body.NONE
        self._begin()
        return Frame(data[:end], None, True), data[end:]

    def _fixed(self, data: bytes) -> int:
        end = min(self._left, len(data))
        self._left -= end
        self._parse(data[:end])
        return end

    def _lines(self, data: bytes) -> int:
        start = 0
        while start < len(data) and not self._complete and not self.opaque:
            newline = data.find(b"\n", start)
            end = newline + 1 if newline >= 0 else len(data)
            self._parse(data[start:end])
            start = end
        return start

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Whatever follows is not HTTP/1 any more (WebSocket, CONNECT).
            self.opaque = True
        except httptools.HttpParserError:
            self.opaque = True

    @abstractmethod
    def _new_parser(self) -> httptools.HttpRequestParser:
        """A parser of the messages of this direction."""

    @abstractmethod
    def _describe(self) -> Head | None:
        """What the head that was just parsed says; None where nothing acts on it."""

    def _status(self) -> int:
        """The status of the answer whose head was just parsed; 0 where there is none yet."""
        return 0

    def _is_bodyless(self) -> bool:
        return False

    def _is_final(self) -> bool:
        return True


class RequestFramer(Framer):
    """Cuts what callers send."""

    def _new_parser(self) -> httptools.HttpRequestParser:
        return httptools.HttpRequestParser(self)

    def _describe(self) -> Head:
        path = self._url.partition(b"?")[0].decode("latin-1")
        method, peer = self._parser.get_method().decode("ascii"), self._caller.decode("latin-1")
        return Head(method, path.strip("/"), peer, self._place.decode("latin-1"))


class ResponseFramer(Framer):
    """Cuts what the instance answers; `asked` returns the method being answered (RFC 9112 section 6.3)."""

    def __init__(self, asked: Callable[[], str]) -> None:
        self._asked = asked
        super().__init__()

    def _new_parser(self) -> httptools.HttpResponseParser:
        return httptools.HttpResponseParser(self)

    def _describe(self) -> None:
        return None

    def _is_bodyless(self) -> bool:
        return self._asked() == "HEAD"

    def _status(self) -> int:
        # 1xx announces the real answer, which is still to come.
        status = int(self._parser.get_status_code())
        return status if status >= 200 else 0

    def _is_final(self) -> bool:
        return self._status() > 0
