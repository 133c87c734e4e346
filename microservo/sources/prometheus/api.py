"""Prometheus' HTTP API: `prometheus-api-client` where that is right, its session elsewhere.

Right is `custom_query_range` on a grid of whole seconds. Its `get_metric_range_data` is not: it asks
`/query`, repeats or loses the samples at the edges of its chunks, and fixes its default end on import.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import requests

from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.runtime.log_limit import LogLimit
from microservo.sources.prometheus.settings import PrometheusSettings

logger = logging.getLogger(__name__)

MOST_STEPS = 11_000
"""Prometheus refuses a range of more steps than this; the one point more at its end is none."""
_STATUS = re.compile(r"HTTP Status Code (\d+) \((.*)\)", re.DOTALL)
_UNUSABLE = (400, 404, 422)
_FORBIDDEN = (401, 403)
_SHOWN_CHARS = 300

Series = Mapping[str, Any]
"""One of a result: `metric`, its labels, and `values`, pairs of seconds and text."""


class PrometheusApi:
    """Asks one Prometheus; for one thread.

    Args:
        settings: where it is and how it is reached.

    Raises:
        Unavailable: the library is not installed, or a file of the settings can't be read.
    """

    def __init__(self, settings: PrometheusSettings) -> None:
        try:
            from prometheus_api_client import PrometheusConnect  # noqa: PLC0415 - an extra
        except ImportError as error:
            msg = "prometheus-api-client is not installed; pip install 'microservo[prometheus]'"
            raise Unavailable(msg) from error
        self._url = settings.url.rstrip("/")
        self._timeout_s = settings.timeout_s
        self._session = _session(settings)
        # The tail tries again by itself, at its next look, and with pauses of its own.
        self._connect = PrometheusConnect(
            url=self._url, retry=requests.adapters.Retry(0), session=self._session, timeout=settings.timeout_s
        )
        self._warnings = LogLimit()

    def grid(self, expr: str, first_s: int, last_s: int, step_s: int) -> Iterator[list[Series]]:
        """What an expression gives at `first_s`, `first_s + step_s`, ... up to `last_s`, in parts.

        Args:
            expr: PromQL.
            first_s: epoch seconds UTC, a multiple of the step.
            last_s: as above.
            step_s: seconds.

        Raises:
            InvalidInput: Prometheus can't evaluate it.
            Retryable: Prometheus is away or too busy.
            Unavailable: it refuses us.
        """
        for begin_s in range(first_s, last_s + 1, (MOST_STEPS + 1) * step_s):
            end_s = min(last_s, begin_s + MOST_STEPS * step_s)
            begin, end = (datetime.fromtimestamp(each, UTC) for each in (begin_s, end_s))

            def ask(begin: datetime = begin, end: datetime = end) -> list[Series]:
                found: list[Series] = self._connect.custom_query_range(expr, begin, end, str(step_s))
                return found

            yield self._asked(ask)

    def samples(self, selector: str, after_us: int, until_us: int) -> list[Series]:
        """The samples of a selector with `after_us < time <= until_us`, as they were scraped.

        In Prometheus 2 a sample at `after_us` itself may be among them, in 3 it is not. Raises as `grid`.
        """
        span_ms = max(1, -(-(until_us - after_us) // 1000))
        return self._query(f"{selector}[{span_ms}ms]", until_us)

    def instant(self, expr: str, at_us: int) -> list[Series]:
        """What an expression gives at an instant; raises as `grid`."""
        return self._query(expr, at_us)

    def types(self) -> dict[str, str]:
        """What each metric is, by its name: counter, gauge, histogram, ...; raises as `grid`."""
        found = self._asked(lambda: self._get("metadata"))
        return {name: entries[0].get("type", "") for name, entries in found.items() if entries}

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _query(self, expr: str, at_us: int) -> list[Series]:
        form = {"query": expr, "time": f"{at_us / 1e6:.3f}"}
        found: list[Series] = self._asked(lambda: self._post("query", form)["result"])
        return found

    def _get(self, path: str) -> Any:
        return self._data(self._session.get(f"{self._url}/api/v1/{path}", timeout=self._timeout_s))

    def _post(self, path: str, form: Mapping[str, str]) -> Any:
        return self._data(
            self._session.post(f"{self._url}/api/v1/{path}", data=form, timeout=self._timeout_s)
        )

    def _data(self, answer: requests.Response) -> Any:
        if answer.status_code != requests.codes.ok:
            raise _refusal(self._url, answer.status_code, answer.text)
        document = answer.json()
        for warning in document.get("warnings", ()):
            if (end := self._warnings.end_of_line("", warning)) is not None:
                logger.warning("prometheus at %s: %s%s", self._url, warning, end)
        return document["data"]

    def _asked(self, ask: Callable[[], Any]) -> Any:
        from prometheus_api_client import PrometheusApiClientException  # noqa: PLC0415 - an extra

        try:
            return ask()
        except PrometheusApiClientException as error:
            found = _STATUS.search(str(error))
            raise _refusal(self._url, int(found[1]) if found else 0, str(error)) from error
        except requests.RequestException as error:
            msg = f"prometheus at {self._url} can't be reached ({type(error).__name__}); is it up?"
            raise Retryable(msg) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"what answers at {self._url} is no Prometheus ({error}); give the address of its API"
            raise Unavailable(msg) from error


def _refusal(url: str, status: int, text: str) -> InvalidInput | Retryable | Unavailable:
    shown = text[:_SHOWN_CHARS]
    if status in _UNUSABLE:
        return InvalidInput(f"prometheus at {url} can't evaluate it ({status}): {shown}")
    if status in _FORBIDDEN:
        return Unavailable(f"prometheus at {url} refuses us ({status}); give username or token_file: {shown}")
    return Retryable(f"prometheus at {url} can't answer now ({status}): {shown}")


def _session(settings: PrometheusSettings) -> requests.Session:
    session = requests.Session()
    # A proxy of the user's shell is not meant for it.
    session.trust_env = False
    try:
        if settings.username:
            password = settings.password_file.read_text("utf-8").strip() if settings.password_file else ""
            session.auth = (settings.username, password)
        if settings.token_file:
            session.headers["Authorization"] = f"Bearer {settings.token_file.read_text('utf-8').strip()}"
    except OSError as error:
        msg = (
            f"{error.filename} can't be read ({error.strerror}); it is to hold the secret of {settings.name}"
        )
        raise Unavailable(msg) from error
    if settings.ca_file:
        session.verify = str(settings.ca_file)
    return session
