"""When a citizen is reminded of a consent: 30 and 7 days before it ends, and at each review. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.consent.bundle import months_later
from app.consent.question import dawn_of, day_of

BEFORE_END = (timedelta(days=30), timedelta(days=7))


class Reminder(StrEnum):
    """What a reminder says."""

    MONTH_LEFT = "month-left"
    WEEK_LEFT = "week-left"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Due:
    """A reminder and its moment."""

    at: datetime
    kind: Reminder


def reminders(start: datetime, end: datetime | None, review_months: int | None, until: datetime) -> list[Due]:
    """Return every reminder of a consent up to a moment, and the first one after it, in order.

    Nobody is reminded of an end before the consent began, nor to review what is about to end.
    """
    found = []
    if end is not None:
        for before, kind in zip(BEFORE_END, (Reminder.MONTH_LEFT, Reminder.WEEK_LEFT), strict=True):
            if end - before > start:
                found.append(Due(end - before, kind))
    if review_months:
        count, at = 0, start
        while at <= until:
            count += 1
            at = dawn_of(months_later(day_of(start), review_months * count))
            if end is None or at < end - BEFORE_END[0]:
                found.append(Due(at, Reminder.REVIEW))
    return sorted(found, key=lambda due: due.at)


def next_reminder(start: datetime, end: datetime | None, review_months: int | None, now: datetime) -> datetime | None:
    """Return when the next reminder after ``now`` is due, or None."""
    return next((due.at for due in reminders(start, end, review_months, now) if due.at > now), None)


def due_reminder(
    start: datetime, end: datetime | None, review_months: int | None, since: datetime, now: datetime
) -> Reminder | None:
    """Return the last reminder that fell due from ``since`` to ``now``: who was not reminded in time is told once."""
    fallen = [due.kind for due in reminders(start, end, review_months, now) if since <= due.at <= now]
    return fallen[-1] if fallen else None
