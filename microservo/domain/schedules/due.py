"""What is to be done about a schedule at an instant: pure, so that every crash can be tried."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.domain.schedules.schedule import LEAD_US, fault_id_of, next_occurrences, request_of
from schemas.records import FaultRequest, FaultSchedule, ScheduledFault, ScheduleProgress

MOST_RECENT = 20
MISSED = "no injector was running when it was due"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done.

    Attributes:
        requests: to be sent, and durable before the progress is.
        progress: how far the schedule is then; None if nothing is due.
        next_us: when there is something to do next, in epoch microseconds; None if never.
    """

    requests: tuple[FaultRequest, ...] = ()
    progress: ScheduleProgress | None = None
    next_us: int | None = None


def due(schedule: FaultSchedule, progress: ScheduleProgress | None, now_us: int, *, most: int = 100) -> Due:
    """The faults that are to be requested by now, and those that are skipped, for it is too late for them.

    A fault whose time passed while the schedule was paused, or before it was changed, never existed.

    Args:
        schedule: as it is now.
        progress: what was done of it so far.
        now_us: epoch microseconds UTC.
        most: faults to look at; of more, the rest is due at once.
    """
    if schedule.state == "paused":
        return Due()
    known = progress or ScheduleProgress(
        schedule_id=schedule.schedule_id,
        handled_until_us=schedule.valid_from_us - 1,
        requested=0,
        skipped=0,
    )
    requests: list[FaultRequest] = []
    handled: list[ScheduledFault] = []
    next_us = None
    for each in next_occurrences(schedule, known.handled_until_us + 1):
        if each.at_us - LEAD_US > now_us or len(handled) == most:
            next_us = each.at_us - LEAD_US
            break
        is_missed = now_us > each.at_us + schedule.grace_us
        handled.append(
            ScheduledFault(
                fault_id=fault_id_of(schedule.schedule_id, each.at_us),
                at_us=each.at_us,
                outcome="skipped" if is_missed else "requested",
                reason=MISSED if is_missed else "",
            )
        )
        if not is_missed:
            requests.append(request_of(schedule, each.at_us))
    if not handled:
        return Due(next_us=next_us)
    return Due(
        requests=tuple(requests),
        progress=ScheduleProgress(
            schedule_id=schedule.schedule_id,
            handled_until_us=handled[-1].at_us,
            requested=known.requested + len(requests),
            skipped=known.skipped + len(handled) - len(requests),
            recent=(*known.recent, *handled)[-MOST_RECENT:],
        ),
        next_us=next_us,
    )
