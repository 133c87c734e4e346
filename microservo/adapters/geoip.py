"""Where an IP address is, by a database file in MaxMind's format (GeoLite2-City, DB-IP City and the like)."""

from __future__ import annotations

import logging
import os
import re
import threading
from ipaddress import ip_address
from pathlib import Path

import maxminddb

from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput, Unavailable

logger = logging.getLogger(__name__)

_WITHOUT_PLACES = re.compile(r"Country|ASN|ISP|Domain|Connection|Anonymous", re.IGNORECASE)


class GeoDatabase:
    """A database, which is opened again where its file is replaced; may be asked by several threads.

    Args:
        path: of the file.

    Raises:
        Unavailable: it is none, or of a kind that has no coordinates.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_at: tuple[int, int, int] = (0, 0, 0)
        self._reader = self._opened()

    def place(self, address: str) -> Coordinates | None:
        """Where an address is; None where the database does not say.

        Raises:
            InvalidInput: it is no address.
            Unavailable: the file is damaged.
        """
        try:
            wanted = ip_address(address)
        except ValueError as error:
            msg = f"{address[:80]!r} is no IP address"
            raise InvalidInput(msg) from error
        with self._lock:
            if self._identity() != self._read_at:
                self._replace()
            # A database of IPv4 alone refuses to be asked for IPv6.
            knows = wanted.version <= self._reader.metadata().ip_version
            try:
                return _coordinates(self._reader.get(wanted)) if knows else None
            except maxminddb.InvalidDatabaseError as error:
                # As of a file that was read while somebody wrote it; once that is done it is read again.
                msg = f"{self._path} is damaged: {error}"
                raise Unavailable(msg) from error

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._reader.close()

    def _replace(self) -> None:
        """Goes on with the old one where the new one can't be used, and says so once."""
        try:
            new = self._opened()
        except Unavailable as error:
            logger.warning("the database that was read before is used on: %s", error)
            return
        self._reader.close()
        self._reader = new

    def _identity(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError:
            # While it is being replaced by some other means than renaming, the old one goes on.
            return self._read_at
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    def _opened(self) -> maxminddb.Reader:
        way_out = "give the file of a database of cities, such as GeoLite2-City.mmdb"
        self._read_at = self._identity()
        try:
            # In memory: a file that is overwritten under a mapping would end the process.
            reader = maxminddb.open_database(os.fspath(self._path), maxminddb.MODE_MEMORY)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            msg = f"{self._path} can't be read as a database of places ({error}); {way_out}"
            raise Unavailable(msg) from error
        kind = reader.metadata().database_type
        if _WITHOUT_PLACES.search(kind):
            reader.close()
            msg = f"{self._path} is a database of the kind {kind!r}, which has no coordinates; {way_out}"
            raise Unavailable(msg)
        return reader


def _coordinates(found: object) -> Coordinates | None:
    location = found.get("location") if isinstance(found, dict) else None
    if not isinstance(location, dict):
        return None
    latitude, longitude = location.get("latitude"), location.get("longitude")
    if isinstance(latitude, int | float) and isinstance(longitude, int | float):
        return Coordinates(float(latitude), float(longitude))
    return None
