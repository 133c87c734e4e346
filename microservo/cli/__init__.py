"""The command line: parses, calls `microservo.client` and `microservo.system`, prints."""

from __future__ import annotations

from microservo.cli.root import cli, main

__all__ = ["cli", "main"]
