"""A window as it is published."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.domain.action_versions import NO_ACTIONS
from microservo.domain.features import Features
from microservo.domain.identity import Kind
from microservo.domain.truth import WindowTruth
from schemas.records import FeatureWindow, LabelledWindow, WindowAction


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedWindow:
    """One revision of one window. `service_kind` is what its senders say of themselves."""

    run_id: str
    service: str
    start_us: int
    end_us: int
    revision: int
    service_kind: Kind
    features: Features
    truth: WindowTruth
    features_changed: bool
    """Whether the features differ from the revision before; True for revision 0."""
    delay_us: int = 0
    """How much longer than others it waited for the telemetry of its service."""
    actions: tuple[WindowAction, ...] = NO_ACTIONS
    """Acts of placement on its service that overlap it, sorted by decision."""

    def feature_window(self) -> FeatureWindow:
        """What algorithms may see."""
        return FeatureWindow(
            run_id=self.run_id,
            service=self.service,
            service_kind=self.service_kind,
            start_us=self.start_us,
            end_us=self.end_us,
            revision=self.revision,
            names=tuple(self.features),
            values=tuple(self.features.values()),
        )

    def labelled_window(self) -> LabelledWindow:
        """The same with the truth, and with the acts of placement."""
        return LabelledWindow(
            run_id=self.run_id,
            service=self.service,
            service_kind=self.service_kind,
            start_us=self.start_us,
            end_us=self.end_us,
            revision=self.revision,
            names=tuple(self.features),
            values=tuple(self.features.values()),
            labels=self.truth.labels,
            in_force=self.truth.in_force,
            visible=self.truth.visible,
            role=self.truth.role,
            truth=self.truth.truth,
            actions=self.actions,
        )
