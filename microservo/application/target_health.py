"""How the target is, as its users see it and as its platform does."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from microservo.application.connection import Connection
from microservo.domain.campaigns.health import Health
from microservo.errors import InvalidInput, Unavailable
from microservo.log.subscription import Subscription
from schemas.catalogue import FEATURE_WINDOWS
from schemas.records import FeatureWindow

_CALLS = "call/*"
_STALE_US = 30_000_000
"""A window that is older says nothing of now: the pipeline may be down, not the target."""


class TargetHealth:
    """Follows the windows of the users' calls; use it as a context.

    Args:
        connection: to the broker and the running system.
        run_id: windows of other runs say nothing of this target; empty accepts all.
    """

    def __init__(self, connection: Connection, run_id: str) -> None:
        self._connection = connection
        self._run_id = run_id
        self._windows = Subscription(connection.broker, connection.topic(FEATURE_WINDOWS))
        self._newest: FeatureWindow | None = None

    def read(self, now_us: int) -> Health:
        """How the target is now.

        Raises:
            Retryable: the broker is away for now.
        """
        while (received := self._windows.poll(0.0)) is not None:
            window = received.record
            if isinstance(window, FeatureWindow) and self._is_newer(window):
                self._newest = window
        newest = self._newest
        if newest is None or now_us - newest.end_us > _STALE_US:
            return Health(down=self._down())
        features = dict(zip(newest.names, newest.values, strict=True))
        length_s = (newest.end_us - newest.start_us) / 1e6
        return Health(
            error_share=features.get(f"{_CALLS}/error_share"),
            p99_ms=features.get(f"{_CALLS}/p99_ms"),
            requests_per_s=features.get(f"{_CALLS}/count", 0.0) / length_s,
            down=self._down(),
        )

    def close(self) -> None:
        """Leaves the topic."""
        self._windows.close()

    def _is_newer(self, window: FeatureWindow) -> bool:
        is_of_users = window.service_kind == "load_generator" and self._run_id in ("", window.run_id)
        return is_of_users and (self._newest is None or window.start_us >= self._newest.start_us)

    def _down(self) -> tuple[str, ...]:
        """Instances that are down, where the target runs on this machine."""
        try:
            platform = self._connection.platform()
            instances = () if platform is None else platform.instances()
        except (Unavailable, InvalidInput) as error:
            return (str(error),)
        return tuple(instance.id for instance in instances if not instance.is_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
