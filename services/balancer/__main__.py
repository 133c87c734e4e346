from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.balancer.service import run
from services.balancer.settings import BalancerSettings

if __name__ == "__main__":
    sys.exit(run_program("balancer", BalancerSettings, run))
