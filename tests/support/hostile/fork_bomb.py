"""Forks without end, each child in a session of its own; prints how many there were when it was refused."""

import json
import os
import signal
import time

pids = []
while True:
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 256)
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.05)
    pids.append(pid)
    if len(pids) > 5000:
        break
print(json.dumps({"children": len(pids)}), flush=True)
time.sleep(600)
