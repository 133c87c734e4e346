"""An HTTP API of ours, as its clients call it: documents there and back, refusals as errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import requests
from pydantic import BaseModel, ValidationError

from microservo.domain.documents import ErrorDocument, problem
from microservo.errors import InvalidInput, Retryable

D = TypeVar("D", bound=BaseModel)

_FROM_SERVER_ERROR = 500
_NOT_FOUND = 404


class JsonApi:
    """Calls one service; may be used by several threads: there are no cookies, and the rest of a session is.

    Args:
        url: of the service, for example http://127.0.0.1:8761.
        token: what it asks for; empty for none.
        kind: what it is, for messages.
        timeout_s: how long each step of an answer may take.

    Every call raises:
        InvalidInput: the service refuses what is asked.
        Retryable: it does not answer, or can't for now.
    """

    def __init__(self, url: str, token: str, *, kind: str, timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self._kind = kind
        self._timeout_s = timeout_s
        self._session = requests.Session()
        # The proxies of the user's shell lead elsewhere.
        self._session.trust_env = False
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: BaseModel | None = None,
        may_lack: bool = False,
    ) -> bytes | None:
        """The body of the answer; None for a 404 where `may_lack`."""
        data = None if body is None else body.model_dump_json(exclude_none=True)
        try:
            answer = self._session.request(
                method,
                self.url + path,
                params=query,
                data=data,
                headers={"Content-Type": "application/json"} if data is not None else None,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            msg = f"the {self._kind} {self.url} does not answer: {error}"
            raise Retryable(msg) from error
        if may_lack and answer.status_code == _NOT_FOUND:
            return None
        if not answer.ok or answer.is_redirect:
            raise self._refusal(answer)
        return answer.content

    def document(self, kind: type[D], answer: bytes | None) -> D:
        """An answer as a document.

        Raises:
            InvalidInput: it is none.
        """
        try:
            return kind.model_validate_json(answer or b"")
        except ValidationError as error:
            msg = f"what answers is no {self._kind} of this version: {problem(error)}"
            raise InvalidInput(msg) from error

    def close(self) -> None:
        """Closes its connections."""
        self._session.close()

    def _refusal(self, answer: requests.Response) -> InvalidInput | Retryable:
        try:
            reason = ErrorDocument.model_validate_json(answer.content).error
        except ValidationError:
            reason = f"it answers {answer.status_code} {answer.reason}"
        msg = f"the {self._kind} {self.url} refuses: {reason}"
        return Retryable(msg) if answer.status_code >= _FROM_SERVER_ERROR else InvalidInput(msg)
