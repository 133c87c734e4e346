"""Documents that are exchanged as JSON, and what is wrong with one that pydantic refuses, in one line."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

_SHOWN = 80


class Document(BaseModel):
    """A JSON object without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, populate_by_name=True)


class ErrorDocument(Document):
    """What was wrong, what was expected, and the way out."""

    error: str


def problem(error: ValidationError, *, secret: bool = False) -> str:
    """The first problem: where it is, what was expected, and what stands there.

    Args:
        error: of the validation.
        secret: there may be secrets in the document, so nothing of it is shown.

    Example:
        >>> from pydantic import TypeAdapter
        >>> try:
        ...     TypeAdapter(dict[str, list[int]]).validate_python({"a": [1, "x"]}, strict=True)
        ... except ValidationError as error:
        ...     print(problem(error))
        a[1]: expected a valid integer, got 'x'
    """
    first = error.errors(include_url=False, include_context=False)[0]
    where = path_of(first["loc"])
    expected = first["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ", 1)
    expected = expected[:1].lower() + expected[1:]
    if first["type"] == "missing":
        expected = "expected a value, got none"
    elif first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        expected = "this is no known key"
    elif first["type"] != "value_error" and not secret and where:
        found = repr(first["input"])
        expected += f", got {found if len(found) <= _SHOWN else found[:_SHOWN] + '...'}"
    return f"{where}: {expected}" if where else expected


def path_of(steps: Iterable[int | str]) -> str:
    """The way to a value, as people write it.

    Example:
        >>> path_of(["services", "front", "calls", 0, "share"])
        'services.front.calls[0].share'
    """
    # "[key]" is how pydantic marks a name that is wrong itself.
    return "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps if step != "[key]"
    ).removeprefix(".")
