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

_CALLS, _REQUESTS = "call/*", "request/*"
_STALE_US = 30_000_000
"""A window that is older says nothing of now: the pipeline may be down, not the target."""


class TargetHealth:
    """Follows the windows of the users' calls, or of the requests that users make; use it as a context.

    Args:
        connection: to the broker and the running system.
        run_id: windows of other runs say nothing of this target; empty accepts all.
        entry: the service that users come to, where no load generator of ours says how they fare.
    """

    def __init__(self, connection: Connection, run_id: str, entry: str = "") -> None:
        self._connection = connection
        self._run_id = run_id
        self._entry = entry
        self._group = _REQUESTS if entry else _CALLS
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
            error_share=features.get(f"{self._group}/error_share"),
            p99_ms=features.get(f"{self._group}/p99_ms"),
            requests_per_s=features.get(f"{self._group}/count", 0.0) / length_s,
            down=self._down(),
        )

    def close(self) -> None:
        """Leaves the topic."""
        self._windows.close()

    def _is_newer(self, window: FeatureWindow) -> bool:
        is_of_users = (
            window.service == self._entry if self._entry else window.service_kind == "load_generator"
        )
        is_of_run = self._run_id in ("", window.run_id)
        return (
            is_of_users and is_of_run and (self._newest is None or window.start_us >= self._newest.start_us)
        )

    def _down(self) -> tuple[str, ...]:
        """Instances that are down, where this process finds the target."""
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
