"""Connects to an abstract socket and to each `HOST:PORT`; prints what answered, and the interfaces."""

import json
import socket
import sys

reached = []
for address in sys.argv[2:-1]:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            client.connect((host, int(port)))
            reached.append(address)
    except OSError as error:
        print(error, file=sys.stderr)
try:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect("\0" + sys.argv[1])
        reached.append(sys.argv[1])
except OSError as error:
    print(error, file=sys.stderr)
# To the host of a virtual machine, to the kernel's ciphers, to the wire; no network namespace holds them.
for family in (40, 38, 17):
    try:
        socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_SEQPACKET).close()
        reached.append(f"family {family}")
    except OSError as error:
        print(error, file=sys.stderr)
print(json.dumps({"reached": reached, "interfaces": [name for _, name in socket.if_nameindex()]}))
