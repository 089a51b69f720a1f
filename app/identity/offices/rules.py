"""What an organisation must be registered with, and where a team works. Pure.

Source: DOMAIN 4.10. Of AGB, URA and the rest only the form is known, no check digit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.core.errors import Fault

URA_DIGITS = 8


class OrganisationKind(StrEnum):
    """What an organisation is."""

    GP_PRACTICE = "gp_practice"
    MUNICIPALITY = "municipality"
    WELFARE = "welfare"
    NURSING = "nursing"
    HOSPITAL = "hospital"
    MENTAL_HEALTH = "mental_health"
    REGION = "region"
    INTEGRATION = "integration"


class OfficeStatus(StrEnum):
    """How an organisation or team stands."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    MERGED = "merged"


@dataclass(frozen=True, slots=True)
class Registrations:
    """The numbers that registers give to an organisation: digits only, the URA padded to eight."""

    agb: str | None = None
    ura: str | None = None
    oin: str | None = None
    kvk: str | None = None
    municipality_code: str | None = None


def padded_ura(ura: str | None) -> str | None:
    """Return a URA (abonneenummer) in full length; it is written with and without leading zeros."""
    return None if ura is None else ura.rjust(URA_DIGITS, "0")


def registration_faults(kind: OrganisationKind, given: Registrations) -> Iterator[Fault]:
    """Yield what an organisation of this kind lacks, or cannot have."""
    if kind is OrganisationKind.GP_PRACTICE and given.agb is None and given.ura is None:
        yield Fault("/agb", "missing", "A GP practice has an AGB code or a URA.")
    if kind is OrganisationKind.MUNICIPALITY:
        if given.oin is None:
            yield Fault("/oin", "missing", "A municipality has an OIN.")
        if given.municipality_code is None:
            yield Fault("/municipalityCode", "missing", "A municipality has a municipality code.")
    elif given.municipality_code is not None:
        yield Fault("/municipalityCode", "not-of-this-kind", "Only a municipality has a municipality code.")


@dataclass(frozen=True, slots=True)
class Working:
    """A neighbourhood that a team works in, half-open ``[valid_from, valid_until)``."""

    neighbourhood: str
    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A neighbourhood that a team is to work in; without a beginning as it is, or from now on."""

    neighbourhood: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None


def period_faults(start: datetime | None, end: datetime | None, pointer: str, *, now: datetime) -> Iterator[Fault]:
    """Yield what is wrong with a period to record: nothing takes effect before it is recorded."""
    if start is not None and start < now:
        yield Fault(f"{pointer}/validFrom", "past", "Nothing takes effect before it is recorded.")
    if end is not None and end <= (start or now):
        yield Fault(f"{pointer}/validUntil", "ends-early", "This ends before it begins.")


def working_faults(wanted: Sequence[Wanted], *, now: datetime) -> Iterator[Fault]:
    """Yield what is wrong with a list of neighbourhoods; each is named once."""
    names = [one.neighbourhood for one in wanted]
    for index, one in enumerate(wanted):
        yield from period_faults(one.valid_from, one.valid_until, f"/neighbourhoods/{index}", now=now)
        if one.neighbourhood in names[:index]:
            yield Fault(f"/neighbourhoods/{index}/neighbourhood", "repeated", "A neighbourhood is named twice.")


@dataclass(frozen=True, slots=True)
class Moves:
    """What changes: periods that are taken back or end, each with its new end, and periods that are new."""

    withdrawn: tuple[Working, ...]
    ended: tuple[tuple[Working, datetime | None], ...]
    added: tuple[Working, ...]


def moves(present: Iterable[Working], wanted: Iterable[Wanted], *, now: datetime) -> Moves:
    """Return how to come from the periods not yet over to the neighbourhoods that are wanted from now on.

    What has begun is never taken back, only ended; what is to begin is replaced.
    """
    left = {one.neighbourhood: one for one in wanted}
    withdrawn, ended = [], []
    for working in present:
        if working.valid_from >= now:
            withdrawn.append(working)
            if working.neighbourhood in left and left[working.neighbourhood].valid_from is None:
                kept = left[working.neighbourhood]
                left[working.neighbourhood] = Wanted(kept.neighbourhood, working.valid_from, kept.valid_until)
        elif working.neighbourhood in left and left[working.neighbourhood].valid_from is None:
            ended.append((working, left.pop(working.neighbourhood).valid_until))
        else:
            ended.append((working, now))
    added = [Working(one.neighbourhood, one.valid_from or now, one.valid_until) for one in left.values()]
    changed = [(working, end) for working, end in ended if end != working.valid_until]
    return Moves(tuple(withdrawn), tuple(changed), tuple(added))
