"""Asks a process of this machine whether it is healthy."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

TIMEOUT_S = 0.5


def is_healthy(url: str, *, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether `<url>/healthz` answers 200 in time; never through a proxy.

    Args:
        url: scheme, host and port, for example http://127.0.0.1:8080.
        timeout_s: how long to wait for each step of the answer.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
