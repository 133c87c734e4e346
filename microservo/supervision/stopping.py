"""Ending a system that another process of this machine runs."""

from __future__ import annotations

import time

import psutil

from microservo.errors import Unavailable
from microservo.supervision.system_file import SystemFile, is_running

_LOOK_S = 0.05


def stop_system(system: SystemFile, timeout_s: float) -> None:
    """Asks the process that runs a system to end it, as Ctrl-C does, and waits until it has.

    Args:
        system: as it is recorded.
        timeout_s: how many seconds to wait.

    Raises:
        Unavailable: it belongs to another user, or has not ended in time.
    """
    if not is_running(system):
        return
    try:
        psutil.Process(system.pid).terminate()
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        msg = f"process {system.pid}, which runs {system.name!r}, belongs to another user; end it as that"
        raise Unavailable(msg) from error
    deadline_s = time.monotonic() + timeout_s
    while is_running(system):
        if time.monotonic() > deadline_s:
            msg = (
                f"{system.name!r} has not ended within {timeout_s:g} s; it still may, and a second "
                f"`microservo down` ends all of it at once"
            )
            raise Unavailable(msg)
        time.sleep(_LOOK_S)
