"""Builds a manager and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.manager.service import run
from services.manager.settings import ManagerSettings

if __name__ == "__main__":
    sys.exit(run_program("manager", ManagerSettings, run))
