"""The OpenAPI document of a service, from the table of operations that also makes its routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from microservo.domain.documents import ErrorDocument
from microservo.runtime.api import Api, Operation

T = TypeVar("T")
Json = dict[str, Any]

_HOST_REFUSAL: Mapping[int, str] = {403: "The Host header is not one that is served."}
_BODY_REFUSAL: Mapping[int, str] = {413: "The body is too large."}
_COMMON_REFUSALS: Mapping[int, str] = {
    401: "The token is missing or wrong.",
    422: "Something in the request can't be; the error says what, and what is expected.",
}
_REFERENCE = "#/components/schemas/{model}"


class _Schemas(GenerateJsonSchema):
    """JSON Schema as OpenAPI 3.0 has it, which all generators read; what is unknown is left out, not null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def openapi_text(api: Api[T]) -> str:
    """The text of the document, as it is kept in a file: ASCII, with a line feed at its end."""
    return json.dumps(openapi(api), indent=1, ensure_ascii=True) + "\n"


def openapi(api: Api[T]) -> Json:
    """The document, in version 3.0.3."""
    paths: Json = {}
    for operation in api.operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(api, operation)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": api.title,
            "version": "1",
            "description": api.description,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:{port}", "variables": {"port": {"default": str(api.port)}}}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(api),
        },
    }


def _operation(api: Api[T], operation: Operation[T]) -> Json:
    found: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": _responses(api, operation),
    }
    if parameters := [
        *_path_parameters(api, operation),
        *_parameters(operation.query, "query"),
        *_parameters(operation.headers, "header"),
    ]:
        found["parameters"] = parameters
    if operation.body is not None:
        found["requestBody"] = {"required": operation.needs_body, **_content(operation.body)}
    if operation.is_open:
        found["security"] = []
    return found


def _responses(api: Api[T], operation: Operation[T]) -> Json:
    done: Json = {"description": "Done."}
    if api.answer_headers:
        done["headers"] = {
            name: {"description": header.description, "schema": {"type": "number"}}
            for name, header in api.answer_headers.items()
        }
    if operation.answer is not None:
        done |= _content(operation.answer)
    found: Json = {str(operation.status): done}
    refusals = {**_HOST_REFUSAL, **operation.refusals}
    if not operation.is_open:
        refusals |= _COMMON_REFUSALS
    if operation.body is not None:
        refusals |= _BODY_REFUSAL
    for status, reason in sorted(refusals.items()):
        found[str(status)] = {"description": reason, **_content(ErrorDocument)}
    return found


def _content(model: type[BaseModel]) -> Json:
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"content": {"application/json": {"schema": reference}}}


def _path_parameters(api: Api[T], operation: Operation[T]) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        schema = {"type": "string", "pattern": api.path_parameters[name].pattern}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _parameters(model: type[BaseModel] | None, place: str) -> Iterator[Json]:
    if model is None:
        return
    properties = _plain(model.model_json_schema(schema_generator=_Schemas))["properties"]
    for name, schema in properties.items():
        described = {"description": schema.pop("description")} if "description" in schema else {}
        yield {"name": name, "in": place, "schema": schema, **described}


def _schemas(api: Api[T]) -> Json:
    bodies = {operation.body for operation in api.operations if operation.body is not None}
    answers = {operation.answer for operation in api.operations if operation.answer is not None}
    # Checked and written documents are told apart, but only answers use other names than their fields have.
    modes = [(model, "validation") for model in bodies]
    modes += [(model, "serialization") for model in answers | {ErrorDocument}]
    modes.sort(key=lambda each: (each[0].__name__, each[1]))
    _, definitions = models_json_schema(
        [(model, "serialization" if mode == "serialization" else "validation") for model, mode in modes],
        ref_template=_REFERENCE,
        schema_generator=_Schemas,
    )
    found: Json = _plain(definitions["$defs"])
    return dict(sorted(found.items()))


def _plain(value: Any) -> Any:
    """Without titles, which say the names again, and without defaults of null."""
    if isinstance(value, Mapping):
        return {
            key: _plain(each)
            for key, each in value.items()
            if not (key == "title" and isinstance(each, str)) and not (key == "default" and each is None)
        }
    return [_plain(each) for each in value] if isinstance(value, list) else value
