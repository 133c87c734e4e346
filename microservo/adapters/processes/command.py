"""How every child process is started: nothing of our folder or shell changes what it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

ISOLATED_PYTHON = (sys.executable, "-I", "-S")
"""Isolated and without site-packages: starts in a few milliseconds and sees no module of any folder."""

_KEPT = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "LANG",
        "TZ",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        # Where some builds of Python and of its wheels find their libraries (Nix, setup-python).
        "LD_LIBRARY_PATH",
        # macOS: the encoding of the user's session, without which CoreFoundation asks a server for it.
        "__CF_USER_TEXT_ENCODING",
    }
)
_KEPT_PREFIXES = ("LC_", "MICROSERVO_")


def python_argv(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of ours as a program, whatever modules lie in the working directory."""
    # -P: without it `-m` looks into the working directory first, where a user's `services` may lie.
    return (sys.executable, "-P", "-m", module, *arguments)


def child_environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a child process: what is declared here, and what is added.

    Proxies, `OTEL_*`, `PYTHON*`, `JAVA_TOOL_OPTIONS`, `LD_PRELOAD` and the like stay behind: what the user's
    shell says to other programs must not silence or change ours.
    """
    kept = {name: value for name, value in os.environ.items() if _is_kept(name)}
    return {**kept, **(added or {})}


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_PREFIXES)
