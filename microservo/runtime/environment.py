"""Settings from environment variables, and what is said of those that can't be used."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from microservo.errors import InvalidInput

T = TypeVar("T", bound=BaseSettings)
PREFIX = "MICROSERVO_"
_MAY_HOLD_SECRETS = ("PASSWORD", "KAFKA", "CATALOGUE_URL")
"""In the name of a variable whose value is not shown.

MICROSERVO_KAFKA can hold all of the broker's, MICROSERVO_CATALOGUE_URL the password of a database.
"""


def from_environment(kind: type[T], **given: Any) -> T:
    """Settings of a kind: what is given here counts, then the environment, then the defaults.

    Raises:
        InvalidInput: some can't be used; names each, its value unless it is secret, and what was expected.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        # Not "from error": that shows the whole input, and there may be secrets in it.
        problems = "; ".join(_problem(each["loc"], each["msg"]) for each in error.errors(include_input=False))
    msg = f"the settings can't be used: {problems}; change the variable or unset it"
    raise InvalidInput(msg)


def _problem(location: tuple[int | str, ...], what: str) -> str:
    what = what.removeprefix("Value error, ")
    what = what[:1].lower() + what[1:]
    if not location:
        return what
    variable = PREFIX + str(location[0]).upper()
    value = next((text for name, text in os.environ.items() if name.upper() == variable), None)
    if value is None or any(each in variable for each in _MAY_HOLD_SECRETS):
        return f"{'.'.join((variable, *map(str, location[1:])))}: {what}"
    return f"{variable} is {value!r}: {what}"
