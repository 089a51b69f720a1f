"""What a ready consent bundle is: lines that describe whom it opens what to, a purpose, a term. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.access.vocabulary import CaseRole, Category, Domain, Law, Purpose, Role
from app.consent.question import dawn_of, day_of
from app.consent.rules import RecipientType

DECISIONS_MAX = 3
"""How many decisions one use of a bundle may ask."""


@dataclass(frozen=True, slots=True)
class Term:
    """How long a bundle holds. Without any bound: until it is withdrawn.

    ``until`` is a day of the year, month and day, included; ``days_at_most`` means that an end must be named.
    """

    months: int = 0
    weeks: int = 0
    until: tuple[int, int] | None = None
    days_at_most: int = 0

    def end(self, now: datetime) -> datetime | None:
        """Return the latest moment at which a consent of this bundle ends, at midnight here; None for no end."""
        today = day_of(now)
        if self.months:
            return dawn_of(months_later(today, self.months))
        if self.until is not None:
            last = date(today.year, *self.until)
            return dawn_of((last if today <= last else last.replace(year=today.year + 1)) + timedelta(days=1))
        days = self.weeks * 7 + self.days_at_most
        return dawn_of(today + timedelta(days=days)) if days else None


def months_later(day: date, months: int) -> date:
    """Return the same day of a later month, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


@dataclass(frozen=True, slots=True)
class Line:
    """Whom a bundle opens to, described; an empty description of a kind asks nothing of it.

    ``reach`` is what may be named, the usual one first. ``lifts`` are the domains whose secrecy the citizen lifts for
    this line; ``care_only`` is lifted from care alone. ``named`` means that a person is chosen, not found.
    """

    key: str
    label: str
    reach: tuple[RecipientType, ...]
    roles: frozenset[Role]
    lifts: tuple[Domain, ...]
    categories: frozenset[Category]
    care_only: frozenset[Category] = frozenset()
    professions: frozenset[str] = frozenset()
    specialities: frozenset[str] = frozenset()
    organisation_kinds: frozenset[str] = frozenset()
    laws: frozenset[Law] = frozenset()
    case_roles: frozenset[CaseRole] = frozenset()
    named: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """One ready bundle. ``ticks`` are categories that stay closed until they are ticked apart, line by line.

    ``chosen`` means that the categories are those of named items: they must be chosen one by one.
    """

    code: str
    number: str
    name: str
    purpose: Purpose
    term: Term
    lines: tuple[Line, ...]
    ticks: frozenset[Category] = frozenset()
    both_ways: bool = True
    history: str = "from-now"
    review_months: int | None = None
    chosen: bool = False
    note: str = ""

    def line(self, key: str) -> Line | None:
        """Return a line by its key."""
        return next((one for one in self.lines if one.key == key), None)
