"""Runs the sidecar of one instance."""

from __future__ import annotations

import asyncio
import logging

from services.sidecar.service import run
from services.sidecar.settings import SidecarSettings


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    settings = SidecarSettings.from_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
