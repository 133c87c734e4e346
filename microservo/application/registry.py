"""How programs reach registries: several as one, so that one that is away is passed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from microservo.adapters.registry_api import RegistryApi
from microservo.errors import Retryable

__all__ = ["Registries", "RegistryApi"]

T = TypeVar("T")


class Registries:
    """Registries in the order in which they are asked; may be used by several threads.

    Args:
        urls: of the registries, the own region's first.
        token: what they ask for; empty for none.
        timeout_s: how long each step of an answer may take.
    """

    def __init__(self, urls: Sequence[str], token: str, *, timeout_s: float) -> None:
        self._apis = [RegistryApi(url, token, timeout_s=timeout_s) for url in urls]

    def ask(self, act: Callable[[RegistryApi], T]) -> T:
        """What the first registry says that answers.

        Raises:
            InvalidInput: it refuses.
            Retryable: none answers; says what was wrong with the last.
        """
        failure = Retryable("there is no registry to ask; give the URL of one")
        for api in self._apis:
            try:
                return act(api)
            except Retryable as error:
                failure = error
        raise failure

    def close(self) -> None:
        """Closes all connections."""
        for api in self._apis:
            api.close()
