"""The HTTP API of a service as a table of operations: what is asked is checked, what went wrong said in JSON.

The same table makes the routes (`api_app`) and the OpenAPI document (`microservo.runtime.openapi`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from microservo.domain.documents import problem
from microservo.errors import InvalidInput, MicroServoError
from microservo.runtime.http import guarded
from microservo.runtime.metrics import REQUESTS_TOTAL

T = TypeVar("T")
Method = Literal["get", "post", "patch", "delete"]

MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked.

    Attributes:
        path: the parameters in its path.
        query: the document of its query, where the operation has one.
        headers: the document of its headers, likewise.
        body: the document of its body, likewise.
    """

    path: Mapping[str, str]
    query: Any
    headers: Any
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[T]):
    """One thing that can be asked of a service.

    Attributes:
        name: its id in the document, in camel case as generated clients have it.
        summary: what it does.
        handle: does it; what it returns is the body of the answer, None for none.
        status: of an answer that went well, with `answer` as its document.
        refusals: what other statuses mean, beside those that each operation has.
        query: document of the query.
        headers: document of the headers that say something; its aliases are their names.
        body: document of the body.
        is_open: whether it needs no token.
        waits: whether it may take long, so that it is handled in a thread of its own.
    """

    name: str
    method: Method
    path: str
    summary: str
    handle: Callable[[T, Call], BaseModel | None]
    status: int = 200
    answer: type[BaseModel] | None = None
    refusals: Mapping[int, str] = field(default_factory=dict)
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    needs_body: bool = True
    is_open: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PathParameter:
    """What stands for a name in braces in a path.

    Attributes:
        pattern: of the whole value.
        expected: the same in words, for who gives another one.
    """

    pattern: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerHeader(Generic[T]):
    """A header of every answer that went well.

    Attributes:
        description: what it says.
        value: what it says now, of a service.
    """

    description: str
    value: Callable[[T], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api(Generic[T]):
    """What a service offers by HTTP.

    Attributes:
        title: of its document.
        description: likewise.
        port: on which it listens by default.
        operations: what can be asked.
        path_parameters: by their names.
        answer_headers: by their names.
        statuses: of errors that operations raise; 422 of an `InvalidInput` that is not among them.
    """

    title: str
    description: str
    port: int
    operations: Sequence[Operation[T]]
    path_parameters: Mapping[str, PathParameter]
    answer_headers: Mapping[str, AnswerHeader[T]] = field(default_factory=dict)
    statuses: Mapping[type[MicroServoError], int] = field(default_factory=dict)


def api_app(api: Api[T], service: T, *, token: str, checks_host: bool) -> ASGIApp:
    """An ASGI application.

    Args:
        api: what is offered.
        service: what answers.
        token: what callers must show; empty for none.
        checks_host: whether only this machine is served, by its loopback name.
    """
    by_path: dict[str, dict[str, Operation[T]]] = {}
    for operation in api.operations:
        by_path.setdefault(operation.path, {})[operation.method.upper()] = operation
    routes = [
        Route(path, _endpoint(api, service, by_method), methods=list(by_method))
        for path, by_method in by_path.items()
    ]
    refused = _refusing({InvalidInput: 422, **api.statuses})
    handlers = {HTTPException: _http_error, InvalidInput: refused, **dict.fromkeys(api.statuses, refused)}
    app = Starlette(routes=routes, exception_handlers=handlers)
    open_paths = frozenset(operation.path for operation in api.operations if operation.is_open)
    return guarded(app, token, open_paths=open_paths, checks_host=checks_host)


def _endpoint(
    api: Api[T], service: T, by_method: Mapping[str, Operation[T]]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # Starlette answers HEAD where there is a GET.
        operation = by_method["GET" if request.method == "HEAD" else request.method]
        call = await _call(api, operation, request)
        if operation.waits:
            document = await run_in_threadpool(operation.handle, service, call)
        else:
            document = operation.handle(service, call)
        REQUESTS_TOTAL.labels(operation.path, str(operation.status)).inc()
        headers = {name: f"{header.value(service):.1f}" for name, header in api.answer_headers.items()}
        if document is None:
            return Response(status_code=operation.status, headers=headers)
        content = document.model_dump_json(exclude_none=True)
        return Response(content, operation.status, headers, media_type="application/json")

    return answer


async def _call(api: Api[T], operation: Operation[T], request: Request) -> Call:
    return Call(
        path={
            name: _parameter(name, value, api.path_parameters[name])
            for name, value in request.path_params.items()
        },
        query=_query(operation, request),
        headers=_headers(operation, request),
        body=await _body(operation, request),
    )


def _parameter(name: str, value: str, parameter: PathParameter) -> str:
    # Not `match`: there "$" lets a line feed pass behind it.
    if re.fullmatch(parameter.pattern, value) is None:
        msg = f"the {name} {value[:80]!r} can't be; expected {parameter.expected}"
        raise InvalidInput(msg)
    return value


def _query(operation: Operation[T], request: Request) -> BaseModel | None:
    if operation.query is None:
        return None
    given = request.query_params
    for name in given:
        if len(given.getlist(name)) > 1:
            msg = f"{name} is given {len(given.getlist(name))} times; give it once"
            raise InvalidInput(msg)
    return _checked(lambda model: model.model_validate(dict(given)), operation.query)


def _headers(operation: Operation[T], request: Request) -> BaseModel | None:
    """What the headers say; empty ones, as a proxy sends them, say nothing."""
    if operation.headers is None:
        return None
    names = [field.alias or name for name, field in operation.headers.model_fields.items()]
    given = {name: value for name in names if (value := request.headers.get(name, ""))}
    return _checked(lambda model: model.model_validate(given), operation.headers)


async def _body(operation: Operation[T], request: Request) -> BaseModel | None:
    if operation.body is None:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes; send less at a time")
    if not body and not operation.needs_body:
        return None
    return _checked(lambda model: model.model_validate_json(bytes(body)), operation.body)


def _checked(validate: Callable[[type[BaseModel]], BaseModel], model: type[BaseModel]) -> BaseModel:
    try:
        return validate(model)
    except ValidationError as error:
        raise InvalidInput(problem(error)) from error


def _refusing(
    statuses: Mapping[type[MicroServoError], int],
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def refused(request: Request, error: Exception) -> Response:
        status = next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)
        return _error(request, status, str(error))

    return refused


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem_text = f"{request.method} {request.url.path}: {error.detail}"
    return _error(request, error.status_code, problem_text)


def _error(request: Request, status: int, problem_text: str) -> Response:
    route = request.scope.get("route")
    REQUESTS_TOTAL.labels(getattr(route, "path", "other"), str(status)).inc()
    return JSONResponse({"error": problem_text}, status_code=status)
