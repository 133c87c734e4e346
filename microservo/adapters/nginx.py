"""The program nginx: where it is, what it can, and whether it takes a configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from microservo.errors import Unavailable

PLACE_MODULES = frozenset({"http_auth_request_module"})
PROXY_MODULES = frozenset({"http_realip_module"})
_OLDEST = (1, 20)
_TIMEOUT_S = 30.0
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin")
_INSTALL = "install it: apt-get install nginx-light (Debian, Ubuntu), brew install nginx (macOS)"


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxProgram:
    """An nginx of this machine.

    Attributes:
        path: of the program.
        version: for example 1.22.1.
    """

    path: str
    version: str

    def argv(self, prefix: Path, configuration: str) -> tuple[str, ...]:
        """The command that runs it with a configuration in its prefix, and nothing of the system's."""
        return (self.path, "-e", "stderr", "-p", f"{prefix}/", "-c", configuration)

    def check(self, prefix: Path, configuration: str) -> None:
        """Lets it read a configuration.

        Raises:
            Unavailable: it refuses; the message has its reasons.
        """
        argv = [*self.argv(prefix, configuration), "-t", "-q"]
        ended = _run(argv)
        if ended.returncode != 0:
            msg = f"nginx {self.version} refuses {prefix / configuration}: {ended.stderr.strip()[-1000:]}"
            raise Unavailable(msg)


def find_nginx(modules: Collection[str] = ()) -> NginxProgram:
    """The nginx of this machine; people's paths often lack the folders for what root runs.

    Args:
        modules: names of those that it must have been built with.

    Raises:
        Unavailable: there is none, it is too old, or has been built without one of them.
    """
    path = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))
    if path is None:
        msg = f"there is no nginx on this machine, which a load balancer runs; {_INSTALL}"
        raise Unavailable(msg)
    said = _run([path, "-V"]).stderr
    version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    if version is None:
        msg = f"{path} is no nginx, for it does not say its version; {_INSTALL}"
        raise Unavailable(msg)
    numbers = tuple(map(int, version.groups()))
    text = ".".join(version.groups())
    if numbers < _OLDEST:
        msg = f"nginx {text} at {path} is too old; 1.20 or later is needed"
        raise Unavailable(msg)
    if lacking := sorted(module for module in modules if f"--with-{module}" not in said):
        msg = f"nginx {text} at {path} was built without {', '.join(lacking)}; {_INSTALL}"
        raise Unavailable(msg)
    return NginxProgram(path=path, version=text)


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{argv[0]} can't be run: {error}"
        raise Unavailable(msg) from error
