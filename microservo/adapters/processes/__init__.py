"""Processes that this one starts: their command, their environment, and a guard that ends them with it."""

from __future__ import annotations

from microservo.adapters.processes.command import ISOLATED_PYTHON, child_environment, python_argv
from microservo.adapters.processes.guarding import Guard

__all__ = ["ISOLATED_PYTHON", "Guard", "child_environment", "python_argv"]
