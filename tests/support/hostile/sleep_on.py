"""Does nothing, and lets nobody end it."""

import contextlib
import signal
import time

for number in signal.valid_signals():
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_IGN)
print("{}", flush=True)
while True:
    time.sleep(600)
