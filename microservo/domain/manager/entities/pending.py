"""What is to be done later, and must not be forgotten over a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from microservo.domain.manager.entities.values import InstantUs, Latitude, Longitude, Name, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAction:
    """An action with a due time.

    Attributes:
        name: its identity: the task and what it is about.
        task: stop the old container of a migration, remove what a region without containers needs no more, or
            go on with the launch of an app.
        subject: the container, the region or the app.
        due_us: epoch microseconds UTC.
        decision_id: the decision that it belongs to.
        services: of an app, those that are still to be launched.
        latitude: degrees: where it is launched; and `longitude`.
    """

    name: Name
    task: Literal["stop", "remove-components", "launch-app"]
    subject: Name
    due_us: InstantUs
    decision_id: Text = ""
    services: tuple[str, ...] = ()
    latitude: Latitude = 0.0
    longitude: Longitude = 0.0
