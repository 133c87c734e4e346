"""config-error: one setting of the instance is wrong."""

from __future__ import annotations

from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters

_SETTINGS = frozenset({"database", "address", "timeout"})
# The discard port, where nobody has listened for decades.
_NOBODY = "http://127.0.0.1:9"
_TIMEOUT_US = 1_000


@fault
class ConfigError:
    """Parameters: `setting`, which one.

    database: its file is looked for elsewhere; address: all calls go where nobody listens; timeout: calls
    are given up a thousand times too early.
    """

    kind: ClassVar[str] = "config-error"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._setting = parameters.choice("setting", _SETTINGS)
        if self._setting != "database" and not site.callees:
            msg = f"{self.kind}: setting is {self._setting!r}, but the instance calls nobody; give database"
            raise InvalidInput(msg)
        self._fault_id = fault_id
        self._database = site.database
        self._caller = site.caller

    async def apply(self) -> str:
        if self._setting == "address":
            self._caller.addresses[self._fault_id] = _NOBODY
            return f"calls go to {_NOBODY}"
        if self._setting == "timeout":
            self._caller.limits_us[self._fault_id] = _TIMEOUT_US
            return f"calls are given up after {_TIMEOUT_US} us"
        self._database.folders[self._fault_id] = "old"
        return f"the database is looked for in {self._database.file}"

    async def recover(self) -> str:
        self._caller.addresses.pop(self._fault_id, None)
        self._caller.limits_us.pop(self._fault_id, None)
        self._database.folders.pop(self._fault_id, None)
        return f"{self._setting} is as it was"
