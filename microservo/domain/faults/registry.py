"""Where kinds of faults register: the modules of a package, and what other distributions add.

A distribution adds kinds by an entry point of the group `microservo.faults` that names the module to import::

    [project.entry-points."microservo.faults"]
    http-truncate = "my_package.http_truncate"
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar

from microservo.domain.faults.base import Fault
from microservo.domain.modules import import_modules
from microservo.errors import InvalidInput

logger = logging.getLogger(__name__)

GROUP = "microservo.faults"

FaultT = TypeVar("FaultT", bound=type[Fault])

_KINDS: dict[str, type[Fault]] = {}


def register(kind: FaultT) -> FaultT:
    """Enters a kind of fault; stands above its class as a decorator.

    Raises:
        InvalidInput: another class has this name.
    """
    other = _KINDS.setdefault(kind.kind, kind)
    if other is not kind:
        msg = (
            f"the kind {kind.kind!r} of {kind.__module__} is registered by {other.__module__} already; "
            "give it another name"
        )
        raise InvalidInput(msg)
    return kind


def registered_kinds(package: ModuleType) -> Mapping[str, type[Fault]]:
    """The kinds of a package and those of other distributions, by name, in order of the names."""
    import_modules(package.__name__, package.__path__)
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            # A defect of another distribution must not remove the kinds that work.
            logger.warning("the faults of %s are left out, for they can't be loaded: %r", entry.value, error)
    return dict(sorted(_KINDS.items()))
