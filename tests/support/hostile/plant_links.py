"""Fills its state folder with what must not be copied as it looks: `plant_links.py SECRET_PATH`."""

import os
import socket
import sys

os.chdir("/state")
os.mkdir("folder")
with open("folder/kept", "w") as file:
    file.write("kept")
os.symlink(sys.argv[1], "link")
os.symlink("/etc", "folder/etc")
os.symlink("..", "folder/above")
os.symlink("/proc/self/root" + sys.argv[1], "through-proc")
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
os.mkdir("unreadable", 0o000)
with open("set-uid", "wb") as file:
    file.write(b"#!/bin/sh\n")
os.chmod("set-uid", 0o6777)
print("{}")
