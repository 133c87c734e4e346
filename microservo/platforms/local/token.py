"""The token of a target's control APIs: made anew at each start, and never on a command line or in a log."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping

VARIABLE = "MICROSERVO_CONTROL_TOKEN"
"""How the processes of a target get it."""

_BYTES = 32


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


def token_or_exit(environment: Mapping[str, str], program: str) -> str:
    """The token of this process; without one it would be open to all that reach its port.

    Raises:
        SystemExit: there is none, with one line that says how to give it.
    """
    token = environment.get(VARIABLE, "")
    if not token:
        sys.exit(f"{program}: {VARIABLE} is not set; give a secret of your choice, which callers then show")
    return token
