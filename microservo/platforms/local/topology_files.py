"""Finds topology files: the shipped ones by name, any other by its path."""

from __future__ import annotations

from pathlib import Path

from microservo.domain.topology import Topology
from microservo.domain.topology_file import load_topology
from microservo.errors import InvalidInput

_SHIPPED = Path(__file__).with_name("topologies")


def shipped_topologies() -> list[str]:
    """The names of the topologies that come with MicroServo, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def topology_path(name: str) -> Path:
    """Where the shipped topology of this name lies.

    Raises:
        InvalidInput: none has this name; lists those that are there.
    """
    if name not in shipped_topologies():
        msg = f"no topology is called {name!r}; choose one of {shipped_topologies()} or give a path"
        raise InvalidInput(msg)
    return _SHIPPED / f"{name}.toml"


def topology_file(name_or_path: str | Path) -> Path:
    """Where the shipped topology of this name lies, or the path itself if it ends in .toml.

    Raises:
        InvalidInput: no shipped one has this name.
    """
    given = Path(name_or_path)
    return given if given.suffix == ".toml" else topology_path(str(name_or_path))


def read_topology(name_or_path: str | Path) -> Topology:
    """The shipped topology of this name, or the one in the file at this path (it ends in .toml).

    Raises:
        InvalidInput: there is none, or it can't be read as a topology.
    """
    path = topology_file(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"topology {path} can't be read ({error}); shipped ones: {shipped_topologies()}"
        raise InvalidInput(msg) from error
    return load_topology(text, path.name)
