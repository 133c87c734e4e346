"""Deletes and changes its own code, and all that it sees: prints what it could."""

import json
import os
import sys

done = []
for path in (__file__, sys.executable, os.__file__):
    for name, act in (
        ("unlink", os.unlink),
        ("truncate", lambda path: os.truncate(path, 0)),
        ("chmod", lambda path: os.chmod(path, 0o777)),
        ("rename", lambda path: os.rename(path, "/tmp/mine")),
    ):
        try:
            act(path)
            done.append(f"{name} {path}")
        except OSError as error:
            print(name, path, error, file=sys.stderr)
print(json.dumps({"done": done}))
