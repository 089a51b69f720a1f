"""SQL of standings and grants, through the keeper's narrow functions; ``app`` cannot write a grant itself."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from app.access.policy import CasePermit, RolePermit, SelfPermit
from app.access.tables import POLICY_VERSION
from app.core.ids import CaseId, ConsentId, EngagementId, MemberId

Json = dict[str, Any]
ASKED_MAX = 200

_REPLACE = text("select replace_grants(:case, :removed, :added)").bindparams(
    bindparam("removed", type_=ARRAY(Uuid)), bindparam("added", type_=JSONB)
)


async def standing_of(db: AsyncSession, kind: str, entity_id: UUID) -> Json | None:
    """Return where a thing is and how the actor stands to its case; None if there is no such thing."""
    statement = text("select standing_of(:kind, :id)")
    found: Json | None = (await db.execute(statement, {"kind": kind, "id": entity_id})).scalar_one()
    return found


async def place_of(db: AsyncSession, kind: str, entity_id: UUID) -> tuple[UUID, UUID | None] | None:
    """Return the case and patient of a thing, for the record of a denial; never shown to the actor."""
    statement = text("select case_id, patient_id from place_of(:kind, :id)")
    row = (await db.execute(statement, {"kind": kind, "id": entity_id})).first()
    return None if row is None else (row.case_id, row.patient_id)


async def lock_case(db: AsyncSession, case_id: CaseId) -> int:
    """Take the case's lock and return the stream's position; held until the transaction ends."""
    return int((await db.execute(text("select lock_case(:case)"), {"case": case_id})).scalar_one())


async def hold_person(db: AsyncSession, case_id: CaseId, patient_id: UUID) -> Sequence[CaseId]:
    """Hold every case about one person, wherever they are registered, and return them; none is opened meanwhile."""
    statement = text("select hold_person(:case, :patient)")
    return (await db.execute(statement, {"case": case_id, "patient": patient_id})).scalars().all()


async def hold_inputs(db: AsyncSession, case_id: CaseId) -> None:
    """Hold the engagements that a case's grants rest on as they are, after whoever is changing one now."""
    await db.execute(text("select hold_inputs(:case)"), {"case": case_id})


async def cases_of(db: AsyncSession, engagement_ids: Collection[UUID]) -> Sequence[CaseId]:
    """Return every case that rests on one of these engagements, in the order in which cases are locked."""
    statement = text("select cases_of(:ids)")
    return (await db.execute(statement, {"ids": list(engagement_ids)})).scalars().all()


async def grant_inputs(db: AsyncSession, case_id: CaseId) -> Json:
    """Return everything the grants of a case rest on, and the grants there are."""
    found: Json = (await db.execute(text("select grant_inputs(:case)"), {"case": case_id})).scalar_one()
    return found


async def company(db: AsyncSession, case_id: CaseId) -> Sequence[RowMapping]:
    """Return who sits at the table, described, to whoever sits there."""
    return (await db.execute(text("select * from table_company(:case)"), {"case": case_id})).mappings().all()


async def replace_grants(db: AsyncSession, case_id: CaseId, removed: Collection[UUID], added: Sequence[Json]) -> int:
    """Remove and add grants, raise the case's access version and return it."""
    values = {"case": case_id, "removed": list(removed), "added": list(added)}
    return int((await db.execute(_REPLACE, values)).scalar_one())


async def keep_basis(db: AsyncSession, case_id: CaseId) -> None:
    """Keep what the derivation of this transaction rested on, as the database itself sees it."""
    await db.execute(text("select keep_basis(:case, :policy)"), {"case": case_id, "policy": POLICY_VERSION})


async def access_decision(db: AsyncSession, permit: RolePermit, case_id: UUID, at: datetime) -> Json | None:
    """Return what was decided from and what was open at a moment of the past; None if nothing was kept of it."""
    statement = text("select access_decision(:case, :at)")
    found: Json | None = (await db.execute(statement, {"case": case_id, "at": at})).scalar_one_or_none()
    return found


async def case_access(db: AsyncSession, permit: CasePermit, at: datetime) -> Sequence[RowMapping]:
    """Return the grants in force at a moment that the actor may know of, each as it shows, once."""
    statement = text(
        "select distinct member_id, engagement_id, on_behalf_of, patient_id, category, domain, may_write, ground,"
        " consent_id, valid_until"
        "  from case_access(:case, :at)"
        " where (:all or patient_id = any(:own) or engagement_id = current_engagement())"
        # that somebody is there in an emergency is told in its time
        "   and (ground <> 'emergency' or engagement_id = current_engagement() or emergency_shown(:case, member_id))"
        " order by member_id, engagement_id, on_behalf_of, patient_id, category, domain, ground, consent_id,"
        " may_write, valid_until"
    )
    standing = permit.standing
    values = {"case": permit.case_id, "at": at, "all": standing.manages, "own": list(standing.speaks_for)}
    return (await db.execute(statement, values)).mappings().all()


async def ownerless(db: AsyncSession, permit: RolePermit, engagement_id: UUID) -> Json | None:
    """Return what nobody would answer for without this engagement; None for who does not manage it."""
    found: Json | None = (await db.execute(text("select ownerless(:id)"), {"id": engagement_id})).scalar_one()
    return found


async def end_seats(db: AsyncSession, engagement_id: UUID, successors: Mapping[UUID, UUID]) -> Sequence[RowMapping]:
    """End the seats, replacements and team memberships of somebody who leaves; ``successors`` by case.

    Returns:
        (case_id, member_id, successor_id, successor_engagement_id) of each seat that ended.
    """
    statement = text("select * from end_seats(:id, :cases, :successors)").bindparams(
        bindparam("cases", type_=ARRAY(Uuid)), bindparam("successors", type_=ARRAY(Uuid))
    )
    values = {"id": engagement_id, "cases": list(successors), "successors": list(successors.values())}
    return (await db.execute(statement, values)).mappings().all()


async def peers_of(db: AsyncSession, engagement_id: UUID, ids: Collection[UUID], now: datetime) -> Collection[UUID]:
    """Return those of the engagements that could succeed one: in force, same organisation, role and domain."""
    statement = text(
        "select n.id from engagement e join engagement n on n.organisation_id = e.organisation_id and n.role = e.role"
        " and n.domain is not distinct from e.domain and n.id <> e.id"
        " where e.id = :id and n.id = any(:ids) and engagement_in_force(n.id, :now)"
    )
    values = {"id": engagement_id, "ids": list(ids), "now": now}
    return set((await db.execute(statement, values)).scalars().all())


async def seats_stood_for(db: AsyncSession, engagement_id: EngagementId, now: datetime) -> Sequence[MemberId]:
    """Return the seats that an engagement holds grants for on ground ``replacement``."""
    statement = text(
        "select distinct member_id from access_grant where engagement_id = :engagement and ground = 'replacement'"
        " and valid_from <= :now and valid_until > :now"
    )
    return (await db.execute(statement, {"engagement": engagement_id, "now": now})).scalars().all()


async def seat_joined(
    db: AsyncSession, case_id: CaseId, patient_id: UUID, member_id: MemberId
) -> EngagementId | None:
    """Seat a citizen who just joined a household; return the engagement, or None if there is nobody to seat."""
    statement = text("select seat_joined(:case, :patient, :member)")
    values = {"case": case_id, "patient": patient_id, "member": member_id}
    found: EngagementId | None = (await db.execute(statement, values)).scalar_one()
    return found


async def consent_audience(db: AsyncSession, case_id: CaseId, consent_id: ConsentId) -> Sequence[EngagementId]:
    """Return the seated engagements an event about this consent concerns; nobody whom the citizen excluded."""
    statement = text("select told_of_consent(:case, :consent)")
    return (await db.execute(statement, {"case": case_id, "consent": consent_id})).scalars().all()


async def readable_consents(db: AsyncSession, permit: CasePermit, ids: Collection[UUID]) -> set[UUID]:
    """Return those of these consents of the permitted case that the actor may read."""
    statement = text("select id from consent where case_id = :case and id = any(:ids)")
    return set((await db.execute(statement, {"case": permit.case_id, "ids": list(ids)})).scalars().all())


async def is_representative(db: AsyncSession, permit: CasePermit, patient_id: UUID, account_id: UUID) -> bool:
    """Return whether an account speaks for somebody here or in another case about them."""
    values = {"patient": patient_id, "account": account_id}
    return bool((await db.execute(text("select is_representative(:patient, :account)"), values)).scalar_one())


async def kept_away(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> bool:
    """Return whether this citizen keeps the actor away from the permitted case."""
    values = {"case": permit.case_id, "patient": patient_id}
    return bool((await db.execute(text("select kept_away(:case, :patient)"), values)).scalar_one())


async def overtaken(db: AsyncSession, case_id: CaseId, consent_id: UUID, decided_at: datetime) -> bool:
    """Whether somebody said no to the same, or took it back, after this was decided."""
    statement = text("select overtaken(:case, :consent, :at)")
    values = {"case": case_id, "consent": consent_id, "at": decided_at}
    return bool((await db.execute(statement, values)).scalar_one())


async def enter_as_time(db: AsyncSession, now: datetime | None) -> datetime:
    """Enter a transaction in which nobody acts but time: sets the instant, and no actor."""
    statement = text(
        "select set_config('app.instant', coalesce(cast(:now as timestamptz), clock_timestamp())::text, true)"
        "::timestamptz"
    )
    entered: datetime = (await db.execute(statement, {"now": now})).scalar_one()
    return entered


async def lapsed(db: AsyncSession, now: datetime) -> Sequence[CaseId]:
    """Return the cases in which a grant or consent began or lapsed and nobody derived since."""
    return (await db.execute(text("select lapsed(:now)"), {"now": now})).scalars().all()


async def expire_consents(db: AsyncSession, case_id: CaseId) -> Sequence[RowMapping]:
    """Mark the consents of a case that ran out; return (consent_id, patient_id, recorded_by)."""
    return (await db.execute(text("select * from expire_consents(:case)"), {"case": case_id})).mappings().all()


async def end_lapsed_seats(db: AsyncSession, case_id: CaseId) -> Sequence[RowMapping]:
    """End the seats of whoever broke the glass, once their time is over; return (member_id, engagement_id)."""
    return (await db.execute(text("select * from end_lapsed_seats(:case)"), {"case": case_id})).mappings().all()


async def due_releases(db: AsyncSession, now: datetime) -> Sequence[CaseId]:
    """Return the cases in which a thread that was held back is to be shown."""
    return (await db.execute(text("select due_releases(:now)"), {"now": now})).scalars().all()


async def release_due(db: AsyncSession, case_id: CaseId) -> Sequence[RowMapping]:
    """Tell of the threads that time released; return (thread_id, patient_id, category, domain)."""
    return (await db.execute(text("select * from release_due(:case)"), {"case": case_id})).mappings().all()


async def brief_privacy_officers(db: AsyncSession) -> None:
    """Tell whoever became privacy officer of the emergencies that still wait for a review."""
    await db.execute(text("select brief_privacy_officers()"))


async def due_reminders(db: AsyncSession, now: datetime) -> Sequence[CaseId]:
    """Return the cases in which a citizen is to be reminded of a consent."""
    return (await db.execute(text("select due_reminders(:now)"), {"now": now})).scalars().all()


async def reminders_of(db: AsyncSession, case_id: CaseId) -> Sequence[RowMapping]:
    """Return the consents of a case of which a reminder is due."""
    return (await db.execute(text("select * from reminders_of(:case)"), {"case": case_id})).mappings().all()


async def remind_of(db: AsyncSession, case_id: CaseId, consent_id: UUID, at: datetime | None) -> None:
    """Say when the next reminder of a consent is due."""
    statement = text("select remind_of(:case, :consent, :at)")
    await db.execute(statement, {"case": case_id, "consent": consent_id, "at": at})


async def who_looked(
    db: AsyncSession,
    permit: SelfPermit,
    start: datetime,
    end: datetime,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Return who looked at what is about the actor, newest first; like lines of one day come as the first of them."""
    statement = text("select * from who_looked(:start, :end, cast(:at as timestamptz), cast(:last as text), :limit)")
    at, last = before or (None, None)
    values = {"start": start, "end": end, "at": at, "last": str(last) if last else None, "limit": limit}
    return (await db.execute(statement, values)).mappings().all()


async def asked_of(db: AsyncSession, permit: SelfPermit) -> Sequence[RowMapping]:
    """Return what the actor is asked, newest first, with recipients by name or by the engagement behind a seat."""
    statement = text(
        "select c.id, c.case_id, c.patient_id, c.kind, c.status, c.from_domains, c.categories, c.both_ways,"
        " c.purpose, c.bundle, c.valid_until, c.recorded_at, c.recorded_by_engagement_id,"
        " (select jsonb_agg(jsonb_build_object('type', r.type, 'name', coalesce(o.name, t.name), 'role', r.role,"
        "                                      'engagement', m.engagement_id) order by r.ordinal)"
        "    from consent_recipient r"
        "    left join organisation o on r.type = 'organisation' and o.id = r.recipient_id"
        "    left join team t on r.type = 'team' and t.id = r.recipient_id"
        "    left join member m on r.type = 'member' and m.case_id = r.case_id and m.id = r.recipient_id"
        "   where r.case_id = c.case_id and r.consent_id = c.id) as recipients"
        # to a representative another's no is as one that is awaited; what they said themselves they know
        "  from consent c where case when is_me(c.patient_id) then c.status in ('asked', 'proposed')"
        "   else c.status in ('asked', 'proposed', 'refused') and represents(c.case_id, c.patient_id)"
        "    and not exists (select 1 from consent_decision d"
        "                     where d.case_id = c.case_id and d.consent_id = c.id) end"
        " order by c.recorded_at desc, c.id desc limit :limit"
    )
    return (await db.execute(statement, {"limit": ASKED_MAX})).mappings().all()


async def sweeping(db: AsyncSession) -> bool:
    """Take the sweeper's advisory lock for this transaction; False when another worker has it."""
    statement = text("select pg_try_advisory_xact_lock(hashtext('overlegtafel sweeper'))")
    return bool((await db.execute(statement)).scalar_one())


async def teams_of(db: AsyncSession, engagement_ids: Collection[UUID], now: datetime) -> Sequence[RowMapping]:
    """Return (engagement_id, team_id) of the team memberships in force."""
    statement = text(
        "select engagement_id, team_id from team_member where engagement_id = any(:ids)"
        " and valid_from <= :now and (valid_until is null or valid_until > :now)"
    )
    return (await db.execute(statement, {"ids": list(engagement_ids), "now": now})).mappings().all()
