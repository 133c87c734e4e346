"""The API of a registry as an ASGI application: what is asked is checked, what went wrong said in JSON."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from microservo.domain.documents import problem
from microservo.domain.geography import Coordinates
from microservo.domain.registry.directory import NotRegistered, RegisteredElsewhere
from microservo.domain.registry.documents import NAME, PlaceQuestion
from microservo.errors import InvalidInput
from microservo.runtime.http import guarded
from microservo.runtime.metrics import REQUESTS_TOTAL
from services.registry.operations import (
    AGE_HEADER,
    LATITUDE_HEADER,
    LONGITUDE_HEADER,
    OPERATIONS,
    Call,
    Operation,
)
from services.registry.registry import Registry

MAX_BODY_BYTES = 4 * 1024 * 1024
_UNKNOWN_PLACE = ("-1", "-1")
"""What usmanager's load balancer sends of users whose address is in no database."""


def http_app(registry: Registry, *, token: str, checks_host: bool) -> ASGIApp:
    """The application.

    Args:
        registry: what answers.
        token: what callers must show; empty for none.
        checks_host: whether only this machine is served, by its loopback name.
    """
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method.upper()] = operation
    routes = [
        Route(path, _endpoint(registry, by_method), methods=list(by_method))
        for path, by_method in by_path.items()
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error, InvalidInput: _refused})
    open_paths = frozenset(operation.path for operation in OPERATIONS if operation.is_open)
    return guarded(app, token, open_paths=open_paths, checks_host=checks_host)


def _endpoint(
    registry: Registry, by_method: dict[str, Operation]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # Starlette answers HEAD where there is a GET.
        operation = by_method["GET" if request.method == "HEAD" else request.method]
        call = Call(
            path={name: _name(name, value) for name, value in request.path_params.items()},
            query=_query(operation, request),
            body=await _body(operation, request),
            place=_place(operation, request, registry.place),
        )
        document = operation.handle(registry, call)
        REQUESTS_TOTAL.labels(operation.path, str(operation.status)).inc()
        headers = {AGE_HEADER: f"{registry.age_s:.1f}"}
        if document is None:
            return Response(status_code=operation.status, headers=headers)
        content = document.model_dump_json(exclude_none=True)
        return Response(content, operation.status, headers, media_type="application/json")

    return answer


def _name(parameter: str, value: str) -> str:
    if re.fullmatch(NAME, value) is None:
        msg = f"the {parameter} {value[:80]!r} can't be; expected 1 to 200 letters, digits, '.', '_' and '-'"
        raise InvalidInput(msg)
    return value


def _query(operation: Operation, request: Request) -> BaseModel | None:
    if operation.query is None:
        return None
    given = request.query_params
    for name in given:
        if len(given.getlist(name)) > 1:
            msg = f"{name} is given {len(given.getlist(name))} times; give it once"
            raise InvalidInput(msg)
    return _checked(lambda model: model.model_validate(dict(given)), operation.query)


async def _body(operation: Operation, request: Request) -> BaseModel | None:
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


def _place(operation: Operation, request: Request, default: Coordinates) -> Coordinates:
    """What the headers say; empty ones, as a proxy sends them, say nothing."""
    given = (request.headers.get(LATITUDE_HEADER, ""), request.headers.get(LONGITUDE_HEADER, ""))
    if not operation.knows_place or given in (("", ""), _UNKNOWN_PLACE):
        return default
    values = dict(zip(("latitude", "longitude"), given, strict=True))
    question = _checked(lambda model: model.model_validate(values), PlaceQuestion)
    assert isinstance(question, PlaceQuestion)
    assert question.latitude is not None
    assert question.longitude is not None
    return Coordinates(question.latitude, question.longitude)


def _checked(validate: Callable[[type[BaseModel]], BaseModel], model: type[BaseModel]) -> BaseModel:
    try:
        return validate(model)
    except ValidationError as error:
        raise InvalidInput(problem(error)) from error


async def _refused(request: Request, error: Exception) -> Response:
    status = 422
    if isinstance(error, NotRegistered):
        status = 404
    elif isinstance(error, RegisteredElsewhere):
        status = 409
    return _error(request, status, str(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem_text = f"{request.method} {request.url.path}: {error.detail}"
    return _error(request, error.status_code, problem_text)


def _error(request: Request, status: int, problem_text: str) -> Response:
    route = request.scope.get("route")
    REQUESTS_TOTAL.labels(getattr(route, "path", "other"), str(status)).inc()
    return JSONResponse({"error": problem_text}, status_code=status)
