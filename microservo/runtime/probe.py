"""Asks a process whether it is healthy, and what it has counted."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

TIMEOUT_S = 0.5

Health = Literal["healthy", "unhealthy", "no answer"]


def is_healthy(url: str, *, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether `<url>/healthz` answers 200 in time; never through a proxy.

    Args:
        url: scheme, host and port, for example http://127.0.0.1:8080.
        timeout_s: how long to wait for each step of the answer.
    """
    return _get(url, "/healthz", timeout_s) is not None


def health_of(url: str, timeout_s: float = TIMEOUT_S) -> Health:
    """What a health URL says; never through a proxy, and where it leads to is not followed.

    Args:
        url: the whole of it; 200 is healthy.
        timeout_s: how long to wait for each step of the answer.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    path = parts.path or "/"
    try:
        connection.request("GET", f"{path}?{parts.query}" if parts.query else path)
        return "healthy" if connection.getresponse().status == http.client.OK else "unhealthy"
    except (OSError, http.client.HTTPException):
        return "no answer"
    finally:
        connection.close()


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
    found: Counter[tuple[str, ...]] = Counter()
    for sample in _samples(url, name, timeout_s):
        found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
    return found


def gauges(url: str, name: str, label: str, *, timeout_s: float = TIMEOUT_S) -> dict[str, float]:
    """The values of a gauge by those of its label; empty where the process does not answer in time.

    Args:
        url: as above.
        name: of the gauge, as on `/metrics`.
        label: by which it is told apart.
        timeout_s: as above.
    """
    return {sample.labels[label]: sample.value for sample in _samples(url, name, timeout_s)}


def sample(url: str, name: str, *, timeout_s: float = TIMEOUT_S) -> float | None:
    """The value of a metric without labels, as on `/metrics`; None where it is not to be had in time."""
    return next((each.value for each in _samples(url, name, timeout_s)), None)


def _samples(url: str, name: str, timeout_s: float) -> Iterator[Sample]:
    text = _get(url, "/metrics", timeout_s) or b""
    for family in text_string_to_metric_families(text.decode()):
        yield from (sample for sample in family.samples if sample.name == name)


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
