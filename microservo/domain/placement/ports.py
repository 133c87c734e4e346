"""Which port of a host a container is reached at."""

from __future__ import annotations

from collections.abc import Collection

from microservo.errors import InvalidInput, Unavailable

_LAST_PORT = 65_535


def first_free_port(default: int, taken: Collection[int]) -> int:
    """The first port that is free, from the default one upwards.

    Args:
        default: 1 to 65535.
        taken: those that somebody listens on, and those kept for containers that are still starting.

    Raises:
        InvalidInput: `default` is no port.
        Unavailable: none is free.

    Example:
        >>> first_free_port(8080, {80, 8080, 8081})
        8082
    """
    if not 1 <= default <= _LAST_PORT:
        msg = f"{default} is no port; take one from 1 to {_LAST_PORT}"
        raise InvalidInput(msg)
    used = frozenset(taken)
    port = next((port for port in range(default, _LAST_PORT + 1) if port not in used), None)
    if port is None:
        msg = f"no port from {default} to {_LAST_PORT} is free; stop a container there, or begin lower"
        raise Unavailable(msg)
    return port
