from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.fault_injector.service import run
from services.fault_injector.settings import FaultInjectorSettings

if __name__ == "__main__":
    sys.exit(run_program("fault-injector", FaultInjectorSettings, run))
