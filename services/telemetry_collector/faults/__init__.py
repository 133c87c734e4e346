"""What faults do to telemetry on its way through the collector: one function per kind and module.

Each registers itself. What a kind is, its parameters and its contract, stands in
`microservo.domain.faults.kinds`.
"""

from __future__ import annotations

from microservo.domain.modules import import_modules
from services.telemetry_collector.faults.base import ACTIONS

import_modules(__name__, __path__)

KINDS = tuple(sorted(ACTIONS))
