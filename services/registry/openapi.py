"""Writes docs/registry.openapi.json from the table of operations: `python -m services.registry.openapi`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from microservo.domain.registry.documents import NAME, ErrorDocument, PlaceQuestion
from services.registry.operations import (
    AGE_HEADER,
    BODY_REFUSAL,
    COMMON_REFUSALS,
    HOST_REFUSAL,
    LATITUDE_HEADER,
    LONGITUDE_HEADER,
    OPERATIONS,
    Operation,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "registry.openapi.json"
_REFERENCE = "#/components/schemas/{model}"
Json = dict[str, Any]


class _Schemas(GenerateJsonSchema):
    """JSON Schema as OpenAPI 3.0 has it, which all generators read; what is unknown is left out, not null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def openapi() -> Json:
    """The document."""
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "MicroServo registry",
            "version": "1",
            "description": "Service discovery of one region, and from where services are asked for.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:{port}", "variables": {"port": {"default": "8761"}}}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def text() -> str:
    """The text of the file."""
    return json.dumps(openapi(), indent=1, ensure_ascii=True) + "\n"


def _operation(operation: Operation) -> Json:
    found: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    if parameters := [*_path_parameters(operation), *_query_parameters(operation), *_headers(operation)]:
        found["parameters"] = parameters
    if operation.body is not None:
        found["requestBody"] = {"required": operation.needs_body, **_content(operation.body)}
    if operation.is_open:
        found["security"] = []
    return found


def _responses(operation: Operation) -> Json:
    answer = {} if operation.answer is None else _content(operation.answer)
    age = {"description": "Seconds since it last heard of the broker.", "schema": {"type": "number"}}
    found: Json = {str(operation.status): {"description": "Done.", "headers": {AGE_HEADER: age}, **answer}}
    refusals = {**HOST_REFUSAL, **operation.refusals}
    if not operation.is_open:
        refusals |= COMMON_REFUSALS
    if operation.body is not None:
        refusals |= BODY_REFUSAL
    for status, reason in sorted(refusals.items()):
        found[str(status)] = {"description": reason, **_content(ErrorDocument)}
    return found


def _content(model: type[BaseModel]) -> Json:
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"content": {"application/json": {"schema": reference}}}


def _path_parameters(operation: Operation) -> Iterator[Json]:
    for name in ("service", "instance"):
        if f"{{{name}}}" in operation.path:
            schema = {"type": "string", "pattern": NAME}
            yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(operation: Operation) -> Iterator[Json]:
    if operation.query is None:
        return
    for name, schema in _plain(operation.query.model_json_schema(schema_generator=_Schemas))[
        "properties"
    ].items():
        described = {"description": schema.pop("description")} if "description" in schema else {}
        yield {"name": name, "in": "query", "schema": schema, **described}


def _headers(operation: Operation) -> Iterator[Json]:
    if operation.knows_place:
        properties = _plain(PlaceQuestion.model_json_schema(schema_generator=_Schemas))["properties"]
        for name, field in ((LATITUDE_HEADER, "latitude"), (LONGITUDE_HEADER, "longitude")):
            schema = {key: value for key, value in properties[field].items() if key != "description"}
            yield {"name": name, "in": "header", "schema": schema}


def _schemas() -> Json:
    bodies = {operation.body for operation in OPERATIONS if operation.body is not None}
    answers = {operation.answer for operation in OPERATIONS if operation.answer is not None} | {ErrorDocument}
    # Checked and written documents are told apart, but only answers use other names than their fields have.
    modes = [(model, "validation") for model in bodies] + [(model, "serialization") for model in answers]
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


if __name__ == "__main__":
    DOCUMENT.write_text(text(), "ascii")
