"""Leaves a child behind, detached from everything, and ends; the child ends nothing by itself."""

import os
import signal
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.closerange(0, 256)
        time.sleep(600)
    os._exit(0)
print("{}", flush=True)
