"""Certificates for a broker on this machine, made with the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_CONFIG = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[leaf]
subjectAltName = IP:127.0.0.1
basicConstraints = critical,CA:FALSE
authorityKeyIdentifier = keyid
subjectKeyIdentifier = hash
"""


class Authority:
    """One that signs for 127.0.0.1.

    Args:
        folder: where its files are written; made.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            msg = "this test makes certificates with the openssl command, which is not there; install openssl"
            raise AssertionError(msg)
        folder.mkdir()
        self._folder = folder
        self.certificate = folder / "authority.pem"
        (folder / "openssl.cnf").write_text(_CONFIG)
        self._key("authority")
        self._run(
            *("req", "-x509", "-new", "-config", "openssl.cnf", "-extensions", "authority", "-days", "2"),
            *("-subj", "/CN=test-authority", "-key", "authority.key", "-out", "authority.pem"),
        )

    def sign(self, name: str, *, key_password: str | None = None) -> tuple[Path, Path]:
        """A new certificate for 127.0.0.1, and the file of its key."""
        self._key(name, key_password)
        unlock = ("-passin", f"pass:{key_password}") if key_password else ()
        self._run(
            *f"req -new -config openssl.cnf -subj /CN={name} -key {name}.key -out {name}.csr".split(), *unlock
        )
        self._run(
            *f"x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -CAcreateserial".split(),
            *f"-days 2 -extfile openssl.cnf -extensions leaf -out {name}.pem".split(),
        )
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _key(self, name: str, password: str | None = None) -> None:
        lock = ("-aes-256-cbc", "-pass", f"pass:{password}") if password else ()
        self._run(*f"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key".split(), *lock)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
