"""Ends with 0 if the process of this container answers 200 on /healthz, with 1 if not.

Python itself, because the image has no curl; only the standard library, because it starts every few seconds.
"""

from __future__ import annotations

import http.client
import os
import sys

_TIMEOUT_S = 3.0


def main() -> int:
    """Asks at MICROSERVO_HEALTH_PORT of the loopback interface, where every process listens."""
    port = int(os.environ["MICROSERVO_HEALTH_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
