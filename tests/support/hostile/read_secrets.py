"""Reads what is not its own: `read_secrets.py VARIABLE PATH...`; prints where it found something."""

import contextlib
import glob
import json
import os
import sys

variable, paths = sys.argv[1], sys.argv[2:]
found = []
keys = os.path.join(os.sep, "root", ".ssh")
for path in [*paths, "/etc/passwd", "/etc/shadow", keys, "/home", "/var", "/sys", "/run/secrets"]:
    with contextlib.suppress(OSError):
        os.stat(path)
        found.append(path)
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/task/*/environ"):
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if variable.encode() in file.read():
            found.append(path)
for link in glob.glob("/proc/*/fd/*") + glob.glob("/proc/*/cwd") + glob.glob("/proc/*/root"):
    with contextlib.suppress(OSError):
        for path in paths:
            above = "/".join([link, *[".."] * 12, path.lstrip("/")])
            if os.path.exists(above) or os.path.exists(link + path):
                found.append(link)
print(json.dumps({"found": sorted(set(found)), "processes": len(glob.glob("/proc/[0-9]*"))}))
