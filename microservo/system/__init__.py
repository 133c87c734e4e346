"""The embedded system: broker, target, pipeline and load on this machine, started and stopped as one.

::

    EmbeddedSystem ── Supervisor ── kafka
                                 ├─ telemetry-collector ── streams ── detectors ── fault-injector
                                 └─ target: instances, sidecars, loadgen
"""

from __future__ import annotations

from microservo.application.progress import Progress, Stage
from microservo.system.embedded import EmbeddedSystem
from microservo.system.options import SystemOptions

__all__ = ["EmbeddedSystem", "Progress", "Stage", "SystemOptions"]
