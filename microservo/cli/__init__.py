"""The command line: parses, has `microservo.application` and `microservo.system` act, prints."""

from __future__ import annotations

from microservo.cli.root import cli, main

__all__ = ["cli", "main"]
