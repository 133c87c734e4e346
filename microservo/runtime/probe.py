"""Asks a process of this machine whether it is healthy, and what it has counted."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 0.5


def is_healthy(url: str, *, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether `<url>/healthz` answers 200 in time; never through a proxy.

    Args:
        url: scheme, host and port, for example http://127.0.0.1:8080.
        timeout_s: how long to wait for each step of the answer.
    """
    return _get(url, "/healthz", timeout_s) is not None


def counted(
    url: str, name: str, labels: Sequence[str], *, timeout_s: float = TIMEOUT_S
) -> Counter[tuple[str, ...]]:
    """What a process has counted so far; empty where it does not answer in time.

    Args:
        url: as above.
        name: of the counter, as on `/metrics`.
        labels: by which it is told apart.
        timeout_s: as above.

    Returns:
        By the values of the labels.
    """
    text = _get(url, "/metrics", timeout_s) or b""
    found: Counter[tuple[str, ...]] = Counter()
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
    return found


def _get(url: str, path: str, timeout_s: float) -> bytes | None:
    """The body of a 200; None where something else came, or nothing."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
