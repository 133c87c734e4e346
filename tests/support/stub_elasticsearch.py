"""A stub of Elasticsearch's contract, for what the real one of the tests lacks: security, broken shards."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_JSON = "application/vnd.elasticsearch+json;compatible-with=8"


def hit(number: int, at: str = "2026-01-31T12:00:00.000Z") -> dict[str, Any]:
    """A document of a log line, as a search gives it."""
    fields = {"@timestamp": [at], "message": [f"line {number}"], "service.name": ["cart"]}
    return {"_index": "logs", "_id": str(number), "fields": fields, "sort": [at, number]}


def answer(
    hits: list[dict[str, Any]], *, failed: int = 0, absent: int = 0, timed_out: bool = False
) -> dict[str, Any]:
    """The answer to a search; shards of which no copy is there are not among those that failed."""
    shards = {"total": 2, "successful": 2 - failed - absent, "skipped": 0, "failed": failed}
    return {"pit_id": "pit-2", "took": 1, "timed_out": timed_out, "_shards": shards, "hits": {"hits": hits}}


@dataclass
class Stub:
    """What is asked, and what is answered; a status other than 200 has an error for a body.

    Attributes:
        answers: to searches, in order; each a status and a body. Later ones are empty pages.
        count: the answer to each count.
        authorization: what a request must have, where it is given.
        product: whether it says that it is Elasticsearch.
    """

    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    count: dict[str, Any] = field(default_factory=dict)
    authorization: str = ""
    product: bool = True
    searches: list[dict[str, Any]] = field(default_factory=list)
    opened: int = 0
    closed: list[str] = field(default_factory=list)
    url: str = ""

    def respond(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path.endswith("/_pit") and method == "POST":
            self.opened += 1
            return 200, {"id": "pit-1"}
        if path == "/_pit":
            self.closed.append(body["id"])
            return 200, {"succeeded": True, "num_freed": 1}
        if path.endswith("/_count"):
            return 200, self.count
        self.searches.append(body)
        return self.answers.pop(0) if self.answers else (200, answer([]))


def _handler(stub: Stub) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                raw = gzip.decompress(raw)
            given = self.headers.get("Authorization", "")
            if stub.authorization and given != stub.authorization:
                status, found = 401, {"error": {"type": "security_exception"}, "status": 401}
            else:
                path = self.path.partition("?")[0]
                status, found = stub.respond(self.command, path, json.loads(raw or b"{}"))
            body = json.dumps(found).encode()
            self.send_response(status)
            if stub.product:
                self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", _JSON)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET = _serve

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def stub_elasticsearch(stub: Stub, certificate: tuple[Path, Path] | None = None) -> Iterator[Stub]:
    """Serves a stub until the end of the context; by TLS where a certificate and its key are given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    stub.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
