"""Writes docs/balancer.openapi.json from the table of operations: `python -m services.balancer.openapi`."""

from __future__ import annotations

from pathlib import Path

from microservo.runtime.openapi import openapi_text
from services.balancer.operations import API

DOCUMENT = Path(__file__).parents[2] / "docs" / "balancer.openapi.json"


if __name__ == "__main__":
    DOCUMENT.write_text(openapi_text(API), "ascii")
