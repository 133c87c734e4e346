"""What was told of acts of placement in a run, version by version, and which of them windows carry.

As with faults, which versions a window may know is decided by the promise they travelled with. Nothing of it
decides what is true of a window: an act is a cause beside others, never an anomaly by itself.
"""

from __future__ import annotations

from microservo.domain.fault_versions import Versions
from microservo.domain.labels import FOREVER, Span
from microservo.domain.watermarks import UNKNOWN, Cut, Passed
from schemas.records import ServiceAction, WindowAction

NO_ACTIONS: tuple[WindowAction, ...] = ()
"""Of a window that no act of placement overlaps."""


class ActionVersions:
    """The acts of placement of one run, by the services that they are about."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, Versions[ServiceAction]]] = {}

    def add(self, action: ServiceAction, late: Passed) -> None:
        """Enters one version of an act, with the windows that it came too late for."""
        known = self._services.setdefault(action.service, {})
        known.setdefault(action.decision_id, Versions()).add(action, late)

    def of_window(self, service: str, window: Span, cut: Cut) -> tuple[tuple[WindowAction, ...], bool]:
        """The acts that overlap a window as known at a cut, and whether nothing will change them any more.

        Args:
            service: of which the window is.
            window: its start and end.
            cut: by which versions must have been promised.
        """
        acts = self._services.get(service)
        if not acts:
            return NO_ACTIONS, True
        found, is_settled = [], True
        for _, versions in sorted(acts.items()):
            action = versions.known_at(cut)
            shared_us = 0 if action is None else span_of(action).shared_with(window).length_us
            if action is not None and shared_us:
                found.append(window_action(action, shared_us / window.length_us))
                is_settled = is_settled and action.is_final
        return tuple(found), is_settled

    def ends_us(self, service: str, decision_id: str) -> int:
        """Until when windows may need what was told of an act, by what is known now.

        FOREVER while more may come, UNKNOWN where it is not known, or not any more.
        """
        versions = self._services.get(service, {}).get(decision_id)
        return UNKNOWN if versions is None else _ends_us(versions)

    def forget(self, before_us: int) -> None:
        """Drops what no window that ends later than `before_us` can need."""
        for service, acts in list(self._services.items()):
            for decision_id, versions in list(acts.items()):
                if _ends_us(versions) < before_us:
                    del acts[decision_id]
                else:
                    versions.forget(before_us)
            if not acts:
                del self._services[service]


def span_of(action: ServiceAction) -> Span:
    """From the beginning of an act to its end; until FOREVER while it goes on, empty where it never began."""
    if action.begun_us is None:
        return Span(0, 0)
    ended_us = FOREVER if action.ended_us is None else action.ended_us
    return Span(action.begun_us, max(action.begun_us, ended_us))


def window_action(action: ServiceAction, overlap: float) -> WindowAction:
    """An act as a window says it.

    Args:
        action: as it is known at the cut of the window.
        overlap: share of the window, 0 to 1.
    """
    return WindowAction(
        decision_id=action.decision_id,
        what=action.what,
        origin=action.origin,
        decided_by=action.decided_by,
        why=action.why,
        container=action.container,
        replaces=action.replaces,
        from_host=action.from_host,
        from_region=action.from_region,
        to_host=action.to_host,
        to_region=action.to_region,
        begun_us=action.begun_us,
        serving_us=action.serving_us,
        ended_us=action.ended_us,
        outcome=action.outcome,
        overlap=overlap,
        cost_host_s=action.cost_host_s,
        requests_lost=action.requests_lost,
    )


def _ends_us(versions: Versions[ServiceAction]) -> int:
    """A window that ends before a version was told knows the one before it, which may say that it goes on."""
    newest = versions.newest
    if newest is None or not newest.is_final:
        return FOREVER
    return max(span_of(newest).end_us, versions.late_until_us)
