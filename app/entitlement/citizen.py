"""What a citizen asks about herself: what is asked of me, who looked, and by which door a cell is closed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, SelfPermit
from app.access.tables import IMPLIED
from app.access.vocabulary import PROFESSIONALS, Category, Domain, Ground
from app.consent.rules import Chair, NamedRecipient, RecipientType, reaches
from app.core.errors import Fault, Invalid
from app.entitlement import store
from app.entitlement.derivation import parse_inputs
from app.entitlement.grants import Lifting, Seat

PERIOD_DEFAULT = timedelta(days=30)
PERIOD_MAX = timedelta(days=366)


def period_of(start: datetime | None, end: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    """Return the period that is looked at: the last thirty days, unless it is named.

    Raises:
        Invalid: it ends before it begins, or is longer than a year.
    """
    until = end or now + timedelta(microseconds=1)
    since = start or until - PERIOD_DEFAULT
    if since >= until:
        raise Invalid(Fault("?to", "ends-early", "This ends before it begins."))
    if until - since > PERIOD_MAX:
        raise Invalid(Fault("?from", "too-long", "Ask for a year at most at a time."))
    return since, until


async def who_looked(
    db: AsyncSession,
    permit: SelfPermit,
    period: tuple[datetime, datetime],
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Return who looked at or changed what is about the actor, or whom they represent, newest first (R-30).

    Like lines of one day come as the first of them. What is kept from the citizen is not there: the steps of the
    meldcode, and an emergency access that is not told of yet. A representative is shown what others than the family
    did with what is theirs to know, while they represent.
    """
    return await store.who_looked(db, permit, *period, before, limit)


async def asked_of_me(db: AsyncSession, permit: SelfPermit) -> Sequence[RowMapping]:
    """Return the consents that the actor is asked for, as the person or for whom they represent, newest first.

    What is decided is not there; to a representative, what they decided themselves.
    """
    return await store.asked_of(db, permit)


class DoorKind(StrEnum):
    """By what a cell is closed: a part taken out of a consent, an objection to treatment, or an exclusion."""

    CONSENT = "consent"
    OBJECTION = "objection"
    EXCLUSION = "exclusion"


@dataclass(frozen=True, slots=True)
class Door:
    """By what one cell is closed; ``recipients`` of the consent reach the member, and none who only answers to it."""

    kind: DoorKind
    consent_id: UUID | None = None
    recipients: tuple[NamedRecipient, ...] = ()


async def doors(db: AsyncSession, permit: CasePermit, rows: Sequence[RowMapping]) -> list[Door | None]:
    """Return for each open cell by what the actor may have it closed; None where it is not theirs, or has no door.

    What goes with any other cell closes with the last of those; what is one's own, or opened in an emergency, stays.
    """
    standing = permit.standing
    speaks = [
        row["patient_id"] in standing.speaks_for or (permit.actor.role in PROFESSIONALS and standing.sits)
        for row in rows
    ]
    known = await store.readable_consents(db, permit, {row["consent_id"] for row in rows} - {None})
    inputs = parse_inputs(await store.grant_inputs(db, permit.case_id))
    consents = {one.consent_id: one for one in inputs.consents if one.consent_id in known}
    seats: dict[UUID, list[Seat]] = {}
    for seat in inputs.seats:
        seats.setdefault(seat.member_id, []).append(seat)
    return [
        _door(row, consents.get(row["consent_id"]), seats.get(row["member_id"], []), permit.now) if may else None
        for row, may in zip(rows, speaks, strict=True)
    ]


STRENGTH = (
    *(Ground.SUBJECT, Ground.DIRECT_TREATMENT, Ground.PUBLIC_TASK, Ground.CONSENT, Ground.AUTHOR, Ground.REPLACEMENT),
    Ground.EMERGENCY,
)
"""Grounds from the strongest to the weakest, as a citizen is told of them."""


@dataclass(frozen=True, slots=True)
class Held:
    """One ground on which a cell is open to somebody, and by what that is closed, if by anything of the actor's."""

    ground: Ground
    may_write: bool
    consent_id: UUID | None
    valid_until: datetime | None
    door: Door | None = None


def strongest_first(held: Iterable[Held]) -> list[Held]:
    """Return on what a cell rests, each ground and each consent once; what may write first, then the strongest."""
    found: dict[tuple[Ground, UUID | None], Held] = {}
    for one in sorted(held, key=_weakness):
        found.setdefault((one.ground, one.consent_id), one)
    return list(found.values())


def _weakness(one: Held) -> tuple[bool, int, bool, float, str]:
    ends = one.valid_until
    last = 0.0 if ends is None else -ends.timestamp()
    return not one.may_write, STRENGTH.index(one.ground), ends is not None, last, str(one.consent_id)


def _door(row: RowMapping, lifting: Lifting | None, seats: Sequence[Seat], now: datetime) -> Door | None:
    ground = Ground(row["ground"])
    if ground in (Ground.SUBJECT, Ground.EMERGENCY) or (row["category"] in IMPLIED and not row["may_write"]):
        return None
    if row["consent_id"] is not None:
        if lifting is None or Category(row["category"]) not in lifting.categories:
            return None
        named = [NamedRecipient(RecipientType(one.type), one.id, one.role) for one in lifting.recipients]
        reached = tuple(one for one in named if any(reaches(one, _chair(seat, now)) for seat in seats))
        return Door(DoorKind.CONSENT, row["consent_id"], reached)
    if ground is Ground.PUBLIC_TASK or row["domain"] == Domain.SOCIAL:
        return Door(DoorKind.EXCLUSION)
    return Door(DoorKind.OBJECTION)


def _chair(seat: Seat, now: datetime) -> Chair:
    teams = frozenset(team for team, period in seat.teams if period.holds(now))
    return Chair(seat.member_id, seat.engagement_id, seat.organisation_id, seat.role, teams)
