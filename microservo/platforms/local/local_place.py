"""What the containers of this machine share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from microservo.domain.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlace:
    """What all containers of a target share.

    Attributes:
        topology: that says what services are, in the file `topology_path` for the processes.
        folder: gets `target.json`, `peers.json`, logs and data.
        otlp_url: where telemetry goes.
        control_token: what control APIs ask for.
        start_s: how many seconds a host needs to start.
        seed: of every chance.
        collector_url: control API of the collector, with the same token; empty where there is none.
        launcher_url: where faults of hosts are asked for, and workers of regions ask; empty for nowhere.
        has_broker: the environment says which broker components of regions use.
    """

    topology: Topology
    topology_path: Path
    folder: Path
    otlp_url: str
    control_token: str
    start_s: float = 2.0
    seed: int = 0
    collector_url: str = ""
    launcher_url: str = ""
    has_broker: bool = False

    @property
    def peers(self) -> Path:
        """The file of addresses (`microservo.platforms.local.peers`)."""
        return self.folder / "peers.json"

    @property
    def state_file(self) -> Path:
        """What platform, faults and meter find the target by (`microservo.platforms.local.state`)."""
        return self.folder / "target.json"
