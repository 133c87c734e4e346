"""The client of Elasticsearch as it was declared, and what its errors mean to us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from microservo.errors import Retryable, Unavailable
from microservo.runtime.http import LOOPBACK_NAMES
from microservo.sources.elasticsearch.settings import ElasticsearchSettings

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_FORBIDDEN = (401, 403)
_SHOWN_CHARS = 300


def make_client(settings: ElasticsearchSettings) -> Elasticsearch:
    """A client, not connected yet.

    Raises:
        Unavailable: the library is not installed, or a file of the settings can't be read.
    """
    try:
        from elasticsearch import Elasticsearch  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "elasticsearch is not installed; pip install 'microservo[elasticsearch]'"
        raise Unavailable(msg) from error
    given: dict[str, Any] = {}
    if settings.api_key_file:
        given["api_key"] = _secret(settings.api_key_file, settings.name)
    if settings.username:
        password = _secret(settings.password_file, settings.name) if settings.password_file else ""
        given["basic_auth"] = (settings.username, password)
    if settings.ca_file:
        given["ca_certs"] = str(settings.ca_file)
    if settings.fingerprint:
        # Which certificate it is is known then, whoever signed it.
        given |= {
            "ssl_assert_fingerprint": settings.fingerprint,
            "verify_certs": False,
            "ssl_show_warn": False,
        }
    return Elasticsearch(
        settings.url,
        request_timeout=settings.timeout_s,
        # A look that failed is followed by the next one: no attempts within attempts.
        max_retries=0,
        # Pages are a tenth as large then; between processes of one machine that only costs time.
        http_compress=urlsplit(settings.url).hostname not in LOOPBACK_NAMES,
        **given,
    )


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns errors of the client into ours.

    Raises:
        Retryable: it is away or too busy, or what was asked for is gone in the middle.
        Unavailable: it refuses us, or it is no Elasticsearch.
    """
    from elasticsearch import ApiError, TransportError, UnsupportedProductError  # noqa: PLC0415 - an extra

    try:
        yield
    except UnsupportedProductError as error:
        msg = f"what answers at {url} is no Elasticsearch, for it does not say so; give the address of one"
        raise Unavailable(msg) from error
    except ApiError as error:
        shown = str(error)[:_SHOWN_CHARS]
        if error.status_code in _FORBIDDEN:
            advice = "give api_key_file or username; it needs read and view_index_metadata"
            msg = f"elasticsearch at {url} refuses us ({error.status_code}); {advice}: {shown}"
            raise Unavailable(msg) from error
        msg = f"elasticsearch at {url} can't answer now ({error.status_code}): {shown}"
        raise Retryable(msg) from error
    except TransportError as error:
        msg = f"elasticsearch at {url} can't be reached ({str(error)[:_SHOWN_CHARS]}); is it up?"
        raise Retryable(msg) from error


def _secret(path: Path, source: str) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        msg = f"{path} can't be read ({error.strerror}); it is to hold the secret of {source}"
        raise Unavailable(msg) from error
