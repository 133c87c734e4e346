"""The API of a Kubernetes cluster: JSON in and out, and errors of our family.

The client's own models are left out on purpose: they refuse what a newer cluster knows, and five thousand
pods as models take half a gigabyte.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, cast

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration

from microservo.errors import InvalidInput, MicroServoError, Retryable, Unavailable

Json = dict[str, Any]
"""An object as the API has it."""

CONNECT_S = 5.0
ANSWER_S = 15.0
_PAGE = "100"
_CONNECTIONS = 64
"""Each watch keeps one open."""
_NOT_FOUND, _CONFLICT, _GONE, _UNAUTHORIZED, _TOO_MANY = 404, 409, 410, 401, 429
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_MERGE = "application/merge-patch+json"


class NotFound(MicroServoError):
    """The cluster has no such object, or no such kind of object."""


class Conflict(MicroServoError):
    """There is such an object already, or it was changed by another one meanwhile."""


class Gone(Retryable):
    """What a watch was to go on from is too old; list anew."""


class KubernetesApi:
    """One cluster, as one user. Several threads may use it.

    Args:
        client: of the library, with address and credentials.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._client.configuration.host)

    def get(self, path: str, **query: str) -> Json:
        """One object, or one page of a list.

        Raises:
            NotFound: there is none.
            Gone: the page is of a list that is too old.
            InvalidInput: this user may not, or the request is wrong.
            Retryable: no answer.
            Unavailable: this user is not known there, or the server's certificate is not trusted.
        """
        return self._json("GET", path, query)

    def pages(self, path: str, **query: str) -> Iterator[Json]:
        """A list in pages, all of one moment, so that no more than one of them is held; raises as `get`."""
        more: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **more, limit=_PAGE)
            yield page
            more = {"continue": page["metadata"].get("continue", "")}
            if not more["continue"]:
                return

    def create(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        """The object as it was created; unknown and doubled fields are refused.

        Args:
            path: of the collection.
            body: the object.
            dry_run: all checks are made, the webhooks' too, and nothing is kept.

        Raises:
            Conflict: there is one of that name.
            InvalidInput: it is refused.
            Retryable: no answer: it may be there or not.
        """
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        return self._json("POST", path, query, body)

    def merge(self, path: str, changes: Json) -> Json:
        """The object after a merge patch; raises as `get`."""
        return self._json("PATCH", path, {}, changes, content_type=_MERGE)

    def delete(self, path: str, **query: str) -> Json:
        """What the server says of a deletion that it has begun; raises as `get`."""
        return self._json("DELETE", path, query)

    def watch(self, path: str, **query: str) -> Watch:
        """The changes of a collection; raises as `get`."""
        return Watch(self._send("GET", path, {"watch": "true", "allowWatchBookmarks": "true", **query}, None))

    def date(self) -> str:
        """The server's own time, as HTTP writes it; raises as `get`."""
        response = self._send("GET", "/version", {}, None)
        response.read()
        return str(response.headers.get("Date", ""))

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        response = self._send(method, path, query, body, content_type)
        try:
            return cast(Json, json.loads(response.read()))
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise self._silent(error) from error

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None,
        content_type: str = "application/json",
    ) -> urllib3.HTTPResponse:
        read_s = None if query.get("watch") else ANSWER_S
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=(CONNECT_S, read_s))
        except ApiException as error:
            if not error.status:
                raise self._insecure(error) from error
            raise self._refused(method, path, error.status, error.body) from error
        except urllib3.exceptions.HTTPError as error:
            raise self._silent(error) from error
        response = cast(urllib3.HTTPResponse, answer.response)
        if not 200 <= response.status < 300:
            raise self._refused(method, path, response.status, response.data)
        return response

    def _silent(self, error: Exception) -> Retryable:
        return Retryable(f"the API server {self.server} gives no answer: {error}")

    def _insecure(self, error: ApiException) -> MicroServoError:
        """What the library means by an answer without a status: TLS failed, as when a connection is reset."""
        if _UNTRUSTED not in str(error.reason):
            return self._silent(error)
        msg = (
            f"the certificate of {self.server} is not trusted ({error.reason}); name its authority in the "
            "kubeconfig: certificate-authority"
        )
        return Unavailable(msg)

    def _refused(self, method: str, path: str, status: int, body: str | bytes | None) -> MicroServoError:
        said = _message(body) or f"{method} {path} was answered {status}"
        if status == _NOT_FOUND:
            return NotFound(said)
        if status == _CONFLICT:
            return Conflict(said)
        if status == _GONE:
            return Gone(said)
        if status == _UNAUTHORIZED:
            return Unavailable(f"{self.server} does not know this user ({said}); log in anew")
        if status == _TOO_MANY or status >= 500:
            return Retryable(f"the API server {self.server} can't answer now: {said}")
        return InvalidInput(said)


class Watch:
    """The changes of a collection, one after another, until the server ends it.

    Args:
        response: of the request, whose body is a line for each change.
    """

    def __init__(self, response: urllib3.HTTPResponse) -> None:
        self._response = response
        self._is_stopped = False

    def __iter__(self) -> Iterator[tuple[str, Json]]:
        """What happened (ADDED, MODIFIED, DELETED, BOOKMARK) and the object.

        Raises:
            Gone: the server has forgotten where this was to go on.
            Retryable: the connection broke, or the server gave up.
        """
        rest = b""
        try:
            for chunk in self._response.stream(65_536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    change = json.loads(line)
                    if change["type"] == "ERROR":
                        raise _watch_error(change["object"])
                    yield change["type"], change["object"]
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if self._is_stopped:
                return
            msg = f"a watch broke off: {error}"
            raise Retryable(msg) from error

    def stop(self) -> None:
        """Ends the iteration; another thread may call it."""
        self._is_stopped = True
        # It may have ended by itself, or its connection been lost.
        with contextlib.suppress(RuntimeError, OSError):
            self._response.shutdown()

    def close(self) -> None:
        """Gives the connection up; call it when the iteration is over."""
        self._response.close()


def connect(context: str | None = None) -> KubernetesApi:
    """The cluster of a context in the user's kubeconfig, or the one that this process runs in.

    Args:
        context: name in the kubeconfig; None takes the current one, or the cluster around this process.

    Raises:
        Unavailable: there is neither.
    """
    settings = Configuration()
    settings.connection_pool_maxsize = _CONNECTIONS
    # What is tried again is decided where it is known what that does.
    settings.retries = False
    try:
        if context is None and "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            config.load_incluster_config(client_configuration=settings)
        else:
            # By itself the library takes the variable as it was when it was loaded.
            files = os.environ.get("KUBECONFIG")
            config.load_kube_config(config_file=files, context=context, client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        which = "no context is named" if context is None else f"there is no context {context!r}"
        msg = f"no cluster: {which}, or the kubeconfig can't be used ({error}); try kubectl get pods"
        raise Unavailable(msg) from error
    return KubernetesApi(ApiClient(settings))


def _message(body: str | bytes | None) -> str:
    try:
        found = json.loads(body or "")
    except ValueError:
        return ""
    return str(found.get("message", "")) if isinstance(found, dict) else ""


def _watch_error(status: Json) -> MicroServoError:
    said = str(status.get("message", status))
    return Gone(said) if status.get("code") == _GONE else Retryable(f"a watch was ended: {said}")
