"""`client.schedules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from microservo.application.command import Context
from microservo.application.schedules import (
    GRACE,
    AddSchedule,
    EditSchedule,
    ListSchedules,
    PauseSchedule,
    PreviewedFault,
    PreviewSchedules,
    RemoveSchedule,
    ResumeSchedule,
    ScheduleStatus,
    ShowSchedule,
)
from microservo.application.table import execute
from microservo.application.when import When


class Schedules:
    """Have faults begin at a time, once or again and again; preview, pause, resume, edit, remove."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add(
        self,
        kind: str,
        *,
        service: str,
        at: datetime | None = None,
        daily: str = "",
        weekly: str = "",
        cron: str = "",
        time_zone: str = "UTC",
        duration: str | timedelta | None = None,
        instances: Sequence[str] = (),
        mode: str = "all",
        labels: Mapping[str, str] | None = None,
        parameters: Mapping[str, object] | None = None,
        grace: str | timedelta = GRACE,
        schedule_id: str | None = None,
    ) -> ScheduleStatus:
        """Adds a schedule. One of at, daily, weekly and cron is given, or none, which is once and now.

        Args:
            kind: one of `client.faults.kinds`.
            service: the target; every instance of it unless `instances` names some.
            at: one instant, with a time zone.
            daily: a time of day, for example "02:30".
            weekly: days and a time, for example "mon,thu 02:30".
            cron: minute, hour, day of the month, month, day of the week.
            time_zone: that daily, weekly and cron are meant in.
            duration: of each fault, for example "20s".
            instances: ids of the instances to hit.
            mode: how many of these to hit: all, one, a number like "2", or a percentage like "50%"; the id of
                each fault decides which.
            labels: those that an instance must have to be hit.
            parameters: of the kind, as people write them.
            grace: how late a fault may begin where nobody could request it in time; later, it is skipped.
            schedule_id: identity; made up if not given.

        Raises:
            InvalidInput: its faults could not be carried out, or its id is taken.
        """
        command = AddSchedule(
            kind=kind,
            service=service,
            when=When(at=at, daily=daily, weekly=weekly, cron=cron, time_zone=time_zone),
            instances=tuple(instances),
            mode=mode,
            labels=dict(labels or {}),
            parameters={name: str(value) for name, value in (parameters or {}).items()},
            duration=duration,
            grace=grace,
            schedule_id=schedule_id,
        )
        return execute(command, self._context)

    def list(self) -> tuple[ScheduleStatus, ...]:
        """All schedules, that whose fault begins next first."""
        return execute(ListSchedules(), self._context)

    def show(self, schedule_id: str) -> ScheduleStatus:
        """Where a schedule stands; `InvalidInput` if there is none of this identity."""
        return execute(ShowSchedule(schedule_id=schedule_id), self._context)

    def preview(self, schedule_id: str | None = None, *, days: int = 7) -> tuple[PreviewedFault, ...]:
        """The faults that are to begin in the next days, of one schedule or of all."""
        return execute(PreviewSchedules(schedule_id=schedule_id, days=days), self._context)

    def pause(self, schedule_id: str) -> ScheduleStatus:
        """Has none of its faults begin until it is resumed."""
        return execute(PauseSchedule(schedule_id=schedule_id), self._context)

    def resume(self, schedule_id: str) -> ScheduleStatus:
        """Has its faults begin again; what passed meanwhile stays undone."""
        return execute(ResumeSchedule(schedule_id=schedule_id), self._context)

    def edit(
        self,
        schedule_id: str,
        *,
        kind: str | None = None,
        service: str | None = None,
        at: datetime | None = None,
        daily: str = "",
        weekly: str = "",
        cron: str = "",
        time_zone: str | None = None,
        duration: str | timedelta | None = None,
        instances: Sequence[str] | None = None,
        mode: str | None = None,
        labels: Mapping[str, str] | None = None,
        parameters: Mapping[str, object] | None = None,
        grace: str | timedelta | None = None,
    ) -> ScheduleStatus:
        """Changes what is given, from now on. Raises as `add`.

        A time is meant in the zone that the schedule has, unless another one is given with it.
        """
        when = When(at=at, daily=daily, weekly=weekly, cron=cron, time_zone=time_zone)
        is_given = any((at, daily, weekly, cron))
        given = None if parameters is None else {name: str(value) for name, value in parameters.items()}
        command = EditSchedule(
            schedule_id=schedule_id,
            kind=kind,
            service=service,
            when=when if is_given else None,
            duration=duration,
            instances=None if instances is None else tuple(instances),
            mode=mode,
            labels=labels,
            parameters=given,
            grace=grace,
        )
        return execute(command, self._context)

    def remove(self, schedule_id: str) -> None:
        """Ends a schedule; a fault that is in force stays so until its end."""
        execute(RemoveSchedule(schedule_id=schedule_id), self._context)
