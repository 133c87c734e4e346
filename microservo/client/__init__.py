"""The client: what programs call, in namespaces over the use cases of `microservo.application`."""

from microservo.client.client import Client

__all__ = ["Client"]
