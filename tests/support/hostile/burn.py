"""Uses CPU without end, in several processes: `burn.py COUNT`."""

import os
import sys

for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
print("{}", flush=True)
while True:
    pass
