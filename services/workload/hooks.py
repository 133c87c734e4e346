"""Where faults meet the requests of an instance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from services.workload.request import Request

Spoiler = Callable[[str], bool]
"""Given the name of an endpoint: whether the record of this request is to come out broken."""
Renamer = Callable[[str], str]
"""Given the key of a request: the key that it is about."""
Beginning = Callable[[Request], Awaitable[None]]
"""Called before the work on a request."""
Answerer = Callable[[dict[str, str]], None]
"""Given the record of a request before it is answered with."""
Attacher = Callable[[str], bytes]
"""Given the name of an endpoint: JSON that goes with the record of this request; empty for none."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """All by the id of the fault, in the order in which requests meet them.

    The one of `spoilers` that says True leaves a field out of the record, and the code that needs it fails by
    itself, as it does where the record of a request is broken anyway. (The traceback must look like any other
    bug's.)
    """

    renamers: dict[str, Renamer] = field(default_factory=dict)
    beginnings: dict[str, Beginning] = field(default_factory=dict)
    spoilers: dict[str, Spoiler] = field(default_factory=dict)
    answerers: dict[str, Answerer] = field(default_factory=dict)
    attachers: dict[str, Attacher] = field(default_factory=dict)
