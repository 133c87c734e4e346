"""Allocates without end: `allocate.py HOW`; prints what stopped it, where something did."""

import ctypes
import json
import os
import sys

CHUNK = 16 << 20
how, kept, stopped = sys.argv[1], [], ""
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
if how == "children":
    # Each alone stays below the limit.
    for _ in range(20):
        if os.fork() == 0:
            break
for _ in range(40 if how == "children" else 100_000):
    try:
        if how in ("process", "children"):
            kept.append(bytearray(b"x") * CHUNK)
        elif how == "memfd":
            file = os.memfd_create("hidden")
            kept.append(file)
            os.write(file, bytes(CHUNK))
        elif how == "shared":
            segment = libc.shmget(0, CHUNK, 0o1600)
            if segment < 0:
                raise OSError(ctypes.get_errno(), "shmget")
            ctypes.memset(libc.shmat(segment, None, 0), 1, CHUNK)
    except (MemoryError, OSError) as error:
        stopped = type(error).__name__
        break
print(json.dumps({"stopped": stopped, "bytes": len(kept) * CHUNK}), flush=True)
if how == "children":
    import time

    time.sleep(600)
