"""Prints 1 GiB to stderr or stdout: `print_on.py DESCRIPTOR`."""

import os
import sys

for _ in range(1 << 14):
    os.write(int(sys.argv[1]), b"a line that says nothing, again and again.....................\n" * 1024)
