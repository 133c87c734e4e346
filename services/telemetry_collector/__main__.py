from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.telemetry_collector.service import run
from services.telemetry_collector.settings import Settings

if __name__ == "__main__":
    sys.exit(run_program("telemetry-collector", Settings, run))
