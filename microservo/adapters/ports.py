"""Free ports on the loopback interface."""

from __future__ import annotations

import contextlib
import random
import socket
import threading

from microservo.errors import Unavailable

# Below the ports that Linux (32768) and macOS (49152) take for outgoing connections: one of those could
# otherwise land on a port between its choice here and the start of the process that is to listen there.
_FIRST, _LAST = 12_000, 32_000

_lock = threading.Lock()
_next = random.SystemRandom().randrange(_FIRST, _LAST)


def free_ports(n: int) -> list[int]:
    """`n` different ports of 127.0.0.1 on which nothing listens; no two calls in a process give the same.

    They are not reserved: another process may take one first, so whoever listens must report failure. Each
    process begins at a place of its own and goes on from there, so that two systems seldom meet.

    Raises:
        Unavailable: there are not so many.
    """
    global _next  # the ports that this process has given out
    found: list[int] = []
    with _lock:
        for _ in range(_LAST - _FIRST):
            if len(found) == n:
                break
            port, _next = _next, _next + 1 if _next + 1 < _LAST else _FIRST
            if _is_free(port):
                found.append(port)
    if len(found) < n:
        msg = f"only {len(found)} of {n} ports from {_FIRST} to {_LAST} are free; close what listens there"
        raise Unavailable(msg)
    return found


def free_port_at_best(wanted: int) -> int:
    """`wanted` if nothing listens there, else any other free port; 0 wants none in particular."""
    return wanted if wanted and _is_free(wanted) else free_ports(1)[0]


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        # As servers do: a port whose last connection is still winding down can be listened on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
