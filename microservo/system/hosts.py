"""The hosts of a managed system, in regions: of a TOML file, or one in each of three regions.

::

    [[host]]
    name = "edge-berlin"
    latitude = 52.5
    longitude = 13.4
    cores = 4
    memory_bytes = 8e9
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microservo.domain.geography import Coordinates, region_of
from microservo.errors import InvalidInput

_GIB = 2**30


class HostOptions(BaseModel):
    """A host as the manager is told of it.

    Attributes:
        place: whether it is of the cloud or at the edge.
        latitude: degrees north; `longitude` degrees east.
        region: the one with the nearest centre if not given.
        cores: processors that it counts as having; likewise `memory_bytes` and `disk_bytes`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    place: Literal["cloud", "edge"] = "edge"
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    region: str = ""
    cores: float = Field(default=4.0, gt=0)
    memory_bytes: float = Field(default=16.0 * _GIB, gt=0)
    disk_bytes: float = Field(default=100.0 * _GIB, gt=0)

    @property
    def coordinates(self) -> Coordinates:
        """Where it is."""
        return Coordinates(self.latitude, self.longitude)

    @property
    def region_name(self) -> str:
        """The region that it is in."""
        return self.region or region_of(self.coordinates).name


THREE_REGIONS = (
    HostOptions(name="edge-berlin", latitude=52.5, longitude=13.4),
    HostOptions(name="edge-new-york", latitude=40.7, longitude=-74.0),
    HostOptions(name="edge-tokyo", latitude=35.7, longitude=139.7),
)
"""In Europe, North America and Asia."""


class _HostsFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    host: tuple[HostOptions, ...] = Field(min_length=1)


def hosts_in(path: Path) -> tuple[HostOptions, ...]:
    """The hosts of a file; the first is where the target is launched.

    Raises:
        InvalidInput: it can't be read, declares what there is not, or two of one name.
    """
    try:
        hosts = _HostsFile.model_validate(tomllib.loads(path.read_text("utf-8"))).host
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        msg = (
            f"hosts of {path} can't be used: {where}: {first['msg']}; give [[host]] tables (docs/manager.md)"
        )
        raise InvalidInput(msg) from error
    except (OSError, ValueError) as error:
        msg = f"hosts of {path} can't be read: {error}; give a TOML file with [[host]] tables"
        raise InvalidInput(msg) from error
    names = [each.name for each in hosts]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        msg = f"hosts of {path}: {', '.join(twice)} is there twice; give each a name of its own"
        raise InvalidInput(msg)
    return hosts
