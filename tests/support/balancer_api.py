"""The API of a load balancer without nginx: something serves whatever is wanted in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microservo.runtime.api import api_app
from microservo.runtime.http import HttpServer
from services.balancer.balancer import Balancer
from services.balancer.operations import API

TOKEN = "open-sesame"


def new_balancer(folder: Path) -> Balancer:
    """One that knows no servers yet, and serves nothing by itself."""
    return Balancer(folder / "state.json", own_address="127.0.0.1:8080", version="1.22.1")


@contextmanager
def asked_at(balancer: Balancer) -> Iterator[str]:
    """The URL of its API, until the end of the block."""
    with HttpServer(api_app(API, balancer, token=TOKEN, checks_host=True), port=0) as server:
        yield f"http://127.0.0.1:{server.port}"


@contextmanager
def served(balancer: Balancer) -> Iterator[None]:
    """Has all that is wanted served at once, until the end of the block."""
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            if (wanted := balancer.wait_wanted(0.05)) is not None:
                balancer.tell_served(wanted.generation)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
