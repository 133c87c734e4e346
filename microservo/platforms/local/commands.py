"""The command lines of a target's processes, for whoever starts them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from microservo.adapters.processes import python_argv
from microservo.domain.geography import Coordinates
from microservo.platforms.local.peers import NOWHERE, Vicinity
from microservo.platforms.local.state import LocalInstance

LOADGEN = "loadgen"
SIDECAR = "-sidecar"
"""A sidecar's process bears its instance's name and this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCommands:
    """What the command lines of one target have in common.

    Attributes:
        topology_path: file of the topology.
        peers: file of addresses, which callers follow.
        otlp_url: where telemetry goes, e.g. http://127.0.0.1:4318.
        seed: of every chance the processes take.
    """

    topology_path: Path
    peers: Path
    otlp_url: str
    seed: int

    def workload(
        self,
        instance: LocalInstance,
        data: Path,
        place: Coordinates | None = None,
        near: Vicinity = NOWHERE,
    ) -> tuple[str, ...]:
        """Of an instance, whose disk is the folder `data`.

        Args:
            instance: which one.
            data: its disk.
            place: that callees are told; None for none.
            near: what it calls first.
        """
        return (
            *python_argv("services.workload"),
            *("--topology", str(self.topology_path), "--service", instance.service),
            *("--instance", instance.id, "--port", str(instance.port)),
            *("--control-port", _port(instance.control_url), "--peers", str(self.peers)),
            *("--otlp", self.otlp_url, "--seed", str(self.seed)),
            *("--data", str(data)),
            *_placed(place),
            *([f"--host={near.host}"] if near.host else []),
            *(f"--region={each}" for each in near.regions),
        )

    def sidecar(self, instance: LocalInstance, place: Coordinates | None = None) -> tuple[str, ...]:
        """Of the sidecar before an instance; with a place, bytes take their time to and from callers."""
        return (
            *python_argv("services.sidecar"),
            *("--instance", instance.id, "--listen", str(instance.sidecar_port)),
            *("--upstream", f"127.0.0.1:{instance.port}", "--admin-port", _port(instance.sidecar_url)),
            *("--seed", str(self.seed)),
            *_placed(place),
        )

    def loadgen(
        self, control_url: str, journeys_per_s: float, place: Coordinates | None = None
    ) -> tuple[str, ...]:
        """Of the users, at this rate at the start, all at one place where one is given."""
        return (
            *python_argv(f"services.{LOADGEN}"),
            *("--topology", str(self.topology_path), "--peers", str(self.peers)),
            *("--rate", str(journeys_per_s), "--seed", str(self.seed)),
            *("--otlp", self.otlp_url, "--control-port", _port(control_url)),
            *_placed(place),
        )


def new_instance(service: str, instance: str, ports: tuple[int, int, int, int]) -> LocalInstance:
    """An instance that has not been started.

    Args:
        service: which it is an instance of.
        instance: its id.
        ports: of the instance, its control API, its sidecar, and the sidecar's control API.
    """
    port, control_port, sidecar_port, admin_port = ports
    return LocalInstance(
        id=instance,
        service=service,
        pid=None,
        started_at_us=0,
        ended_at_us=0,
        port=port,
        control_url=loopback_url(control_port),
        sidecar_pid=None,
        sidecar_port=sidecar_port,
        sidecar_url=loopback_url(admin_port),
    )


def renewed(instance: LocalInstance, name: str, pid: int | None, now_us: int) -> LocalInstance:
    """The instance after the process `name` has started, or, without a pid, ended."""
    if name == instance.id + SIDECAR:
        return replace(instance, sidecar_pid=pid)
    if name != instance.id:
        return instance
    if pid is None:
        return replace(instance, pid=None, ended_at_us=now_us)
    return replace(instance, pid=pid, started_at_us=now_us)


def loopback_url(port: int) -> str:
    """The base address of a port of this machine."""
    return f"http://127.0.0.1:{port}"


def _placed(place: Coordinates | None) -> tuple[str, ...]:
    # One word, since a number below 0 by itself looks like an option.
    return () if place is None else (f"--place={place.latitude!r},{place.longitude!r}",)


def _port(url: str) -> str:
    return url.rpartition(":")[2]
