"""Kills and traces other processes: `attack_processes.py HOST_PID`; prints what it could."""

import ctypes
import json
import os
import signal
import sys

host = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
done = []
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for pid in (host, os.getppid(), 1):
    # PTRACE_ATTACH, PTRACE_SEIZE
    for request in (16, 0x4206):
        if libc.ptrace(request, pid, None, None) == 0:
            done.append(f"ptrace {pid}")
# Its own parent is the fence's first process, which the kernel keeps from signals of its own namespace.
for pid in (host, 1, os.getppid(), -1):
    for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except OSError as error:
            print(pid, error, file=sys.stderr)
            if pid == host:
                continue
try:
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    done.append("priority")
except OSError as error:
    print(error, file=sys.stderr)
print(json.dumps({"done": done}))
