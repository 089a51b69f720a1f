"""Whose word is asked about one consent on one day, and until when their yes holds. Pure.

Birthdays begin at midnight in the Netherlands. Source: ADR 0011; DOMAIN R-7, R-8, R-10.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from app.access.vocabulary import Category
from app.consent.deciders import Asked, Capacity, Departure, Regime, band_on, deciders, next_boundary
from app.consent.decisions import Representation, Status, decider_faults, needed, status_of
from app.core.errors import Fault

HERE = ZoneInfo("Europe/Amsterdam")


def day_of(at: datetime) -> date:
    """Return the day that it is here at this instant."""
    return at.astimezone(HERE).date()


def dawn_of(day: date) -> datetime:
    """Return the instant at which a day begins here."""
    return datetime.combine(day, time.min, HERE)


@dataclass(frozen=True, slots=True)
class Question:
    """What decides who is asked: the regime, the birth date, the capacity, and who represents."""

    regime: Regime
    birth: date
    capacity: Capacity
    departure: Departure | None
    categories: frozenset[Category]
    representations: tuple[Representation, ...] = ()

    def asked(self, at: datetime) -> Asked:
        """Return whose yes is needed at this instant."""
        return deciders(self.regime, self.birth, day_of(at), self.capacity, self.departure)

    def status(self, decisions: Mapping[UUID | None, bool], now: datetime) -> Status:
        """Return where the consent stands after the last decision of each person."""
        asked = self.asked(now)
        return status_of(asked, needed(asked, self.representations, now), decisions)

    def faults(self, person: UUID | None, decided_at: datetime, now: datetime) -> Iterator[Fault]:
        """Yield what is wrong with this person having decided then, to be recorded now."""
        asked, known = self.asked(now), {one.id: one for one in self.representations}
        yield from decider_faults(
            person, asked, needed(asked, self.representations, now), known, self.categories, now
        )
        if decided_at <= now and band_on(self.birth, day_of(decided_at)) is not band_on(self.birth, day_of(now)):
            yield Fault("/decidedAt", "before-birthday", "Since that day others decide; ask again.")

    def end(
        self, valid_until: datetime | None, now: datetime, term: timedelta
    ) -> tuple[datetime | None, date | None]:
        """Return when a consent that becomes active now ends, and the birthday on which it is to be renewed.

        That is at the latest a term after the next birthday that changes who decides.
        """
        birthday = next_boundary(self.birth, day_of(now))
        if birthday is None or (valid_until is not None and valid_until <= dawn_of(birthday)):
            return valid_until, None
        latest = dawn_of(birthday) + term
        return (latest if valid_until is None else min(valid_until, latest)), birthday
