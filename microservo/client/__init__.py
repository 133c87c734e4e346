"""The client: what programs call."""

from microservo.client.client import Client

__all__ = ["Client"]
