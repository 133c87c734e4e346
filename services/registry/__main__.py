from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.registry.service import run
from services.registry.settings import RegistrySettings

if __name__ == "__main__":
    sys.exit(run_program("registry", RegistrySettings, run))
