"""Standing in for one another, as self-service: who replaces whom, and for how long; and who may at an organisation.

What that opens is the rules' alone: each cell of the one replaced, for the period, on ground ``replacement``.
Source: DESIGN 5; Jeugdwet 7.3.11 and BW 7:457 (a replacement is directly involved as far as the work needs).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import Role
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import CaseId, OrganisationId
from app.entitlement import replacement_store as store
from app.entitlement.engagements import rederive_for
from app.identity.offices import organisations

REPLACEMENT_MAX = timedelta(days=92)


class Kind(StrEnum):
    """A GP's locum, or the deputy of any professional who is absent."""

    LOCUM = "locum"
    DEPUTY = "deputy"


class ReplacementOverlaps(Conflict):
    """Raised when somebody is replaced already in part of that period: one at a time answers for a practice."""

    code = "replacement-overlaps"
    title = "This person is replaced already in that period"


class ReplacementChained(Conflict):
    """Raised when the substitute is replaced in that period too, or the one replaced stands in for somebody then."""

    code = "replacement-chained"
    title = "Nobody is replaced through a replacement"


class ReplacementEnded(Conflict):
    """Raised by ending what has ended."""

    code = "replacement-ended"
    title = "This replacement has ended already"


class AlreadySubstitute(Conflict):
    """Raised when somebody is registered as a substitute who is on the list, or works there."""

    code = "already-substitute"
    title = "This person may stand in there already"


@dataclass(frozen=True, slots=True)
class NewReplacement:
    """A replacement to start; ``replaced`` is oneself when absent, ``valid_from`` now."""

    kind: Kind
    substitute: UUID
    valid_until: datetime
    replaced: UUID | None = None
    valid_from: datetime | None = None


async def start(db: AsyncSession, permit: RolePermit, new: NewReplacement, *, replacement_id: UUID) -> list[CaseId]:
    """Start a replacement, now or later, without an admin; return the cases in which it opens something.

    Raises:
        Forbidden: it is for somebody else than oneself or, among GPs, a colleague of the practice.
        Invalid: the period is past, empty or over 92 days, or the substitute is not a peer who may stand in there.
        NoCooperationAgreement: they are of two organisations, and one has no recorded agreement.
        ReplacementChained, ReplacementOverlaps: see there.
    """
    actor = permit.actor
    replaced = new.replaced or actor.engagement_id
    begins = new.valid_from or permit.now
    peers = await store.peers(db, replaced, new.substitute, permit.now)
    if replaced != actor.engagement_id and not (peers and peers["colleague_gp"]):
        raise Forbidden("One starts a replacement for oneself, or a GP for a colleague of the practice.")
    if replaced != actor.engagement_id and peers is not None and peers["by_me"]:
        raise Forbidden("Nobody makes themselves somebody else's substitute.")
    faults = [*_period_faults(begins, new.valid_until, permit.now), *_peer_faults(new, replaced, actor.role, peers)]
    if faults:
        raise Invalid(*faults)
    assert peers is not None  # else there was a fault
    await organisations.require_agreement(db, peers["at"], peers["of"])
    if await store.chained(db, replaced, new.substitute, begins, new.valid_until):
        raise ReplacementChained
    row = {
        "id": replacement_id,
        "replaced_engagement_id": replaced,
        "substitute_engagement_id": new.substitute,
        "kind": new.kind,
        "valid_from": begins,
        "valid_until": new.valid_until,
        "started_by_engagement_id": actor.engagement_id,
        "created_at": permit.now,
    }
    try:
        await store.add(db, permit, row)
    except IntegrityError as error:
        # Asked of the table's own rule, so that two who start one at the same time cannot both succeed.
        raise ReplacementOverlaps from error
    return await rederive_for(db, [replaced], actor=actor, why="replacement-started", now=permit.now)


def _period_faults(begins: datetime, ends: datetime, now: datetime) -> list[Fault]:
    if begins < now:
        return [Fault("/validFrom", "past", "Nothing takes effect before it is recorded.")]
    if ends <= begins:
        return [Fault("/validUntil", "not-after-start", "A replacement ends after it begins.")]
    if ends > begins + REPLACEMENT_MAX:
        return [Fault("/validUntil", "too-long", "A replacement lasts at most 92 days.")]
    return []


def _peer_faults(new: NewReplacement, replaced: UUID, role: Role, peers: RowMapping | None) -> list[Fault]:
    pointer = "/substituteEngagementId"
    if new.substitute == replaced or (peers is not None and peers["same_person"]):
        return [Fault(pointer, "oneself", "Nobody stands in for themselves.")]
    faults = []
    if new.kind is Kind.LOCUM and role is not Role.GP:
        faults.append(Fault("/kind", "not-for-this-role", "A GP has a locum; others have a deputy."))
    if peers is None or not (peers["colleague"] or peers["registered"]):
        # Who works elsewhere and is not on the list is not told from who is not there.
        return [*faults, Fault(pointer, "not-a-substitute", "This person may not stand in here.")]
    if not peers["same_profession"]:
        faults.append(Fault(pointer, "other-profession", "A replacement is of the same profession."))
    return faults


async def end(db: AsyncSession, permit: RolePermit, replacement_id: UUID) -> list[CaseId]:
    """End a replacement early, from either side; what it opened closes at once. Return the cases that touches.

    Raises:
        NotFound: there is none that the actor may see.
        Forbidden: the actor sees it, but is neither of the two nor a GP of the practice.
        ReplacementEnded: it ended before.
    """
    row = await find(db, permit, replacement_id)
    if row["cancelled_at"] is not None or row["valid_until"] <= permit.now:
        raise ReplacementEnded
    if not await store.cancel(db, permit, replacement_id):
        raise Forbidden("Either of the two ends it, or a GP of the practice.")
    concerned = [row["replaced_engagement_id"]]
    return await rederive_for(db, concerned, actor=permit.actor, why="replacement-ended", now=permit.now)


async def find(db: AsyncSession, permit: RolePermit, replacement_id: UUID) -> RowMapping:
    """Return one replacement.

    Raises:
        NotFound: there is none that the actor may see.
    """
    row = await store.one(db, permit, replacement_id)
    if row is None:
        raise NotFound
    return row


async def listed(db: AsyncSession, permit: RolePermit) -> Sequence[RowMapping]:
    """Return the replacements of oneself, by oneself and of colleagues, the latest to begin first."""
    return await store.listed(db, permit)


def state_of(row: RowMapping | dict[str, Any], now: datetime) -> str:
    """Return whether a replacement is ``planned``, ``running`` or ``ended`` at an instant."""
    if row["cancelled_at"] is not None or row["valid_until"] <= now:
        return "ended"
    return "running" if row["valid_from"] <= now else "planned"


async def substitutes(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Sequence[RowMapping]:
    """Return who may stand in at an organisation: its own professionals, and those on its list.

    Raises:
        NotFound: it is not the actor's organisation, nor one that the actor manages.
    """
    if not await store.serves(db, permit, organisation_id):
        raise NotFound
    return await store.substitutes(db, permit, organisation_id)


async def register(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> None:
    """Put a professional of elsewhere on an organisation's list.

    Raises:
        NotFound: the actor does not manage that organisation.
        Invalid: there is no such professional's engagement in force.
        NoCooperationAgreement: one of the two organisations has no recorded agreement.
        AlreadySubstitute: on the list, or working there.
    """
    if not await store.manages(db, permit, organisation_id):
        raise NotFound
    found = await store.professional(db, engagement_id, permit.now)
    if found is None:
        raise Invalid(Fault("/engagementId", "not-found", "There is no such engagement of a professional."))
    await organisations.require_agreement(db, OrganisationId(organisation_id), found["organisation_id"])
    if found["organisation_id"] == organisation_id or not await store.register(
        db, permit, organisation_id, engagement_id
    ):
        raise AlreadySubstitute


async def strike(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> None:
    """Take somebody off an organisation's list; what runs, runs on until it ends.

    Raises:
        NotFound: nobody such is on a list that the actor manages.
    """
    if not await store.strike(db, permit, organisation_id, engagement_id):
        raise NotFound
