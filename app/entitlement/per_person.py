"""What a citizen says of one person, and what is opened for one: exclusions, objections, openings.

Source: DESIGN 5; DOMAIN R-2, R-6; ADR 0011.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.tables import OPENED_PER_MEMBER, OPENERS, TREATING
from app.access.vocabulary import Category, Role
from app.consent import grounds_store
from app.consent.grounds_model import Exclusion, Objection, Opening
from app.consent.grounds_store import Recorded
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import AccountId, CaseId, PatientId
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.entitlement import store
from app.entitlement.derivation import parse_inputs
from app.entitlement.grants import Seat
from app.entitlement.inputs import changing, changing_everywhere
from app.entitlement.representing import says
from app.entitlement.voices import own_say
from app.identity import service as identity
from app.notices.kinds import Citizen, NoticeKind
from app.notices.service import notify


class AlreadyExcluded(Conflict):
    """Raised by excluding somebody twice."""

    code = "already-excluded"
    title = "This person is excluded already"


class AlreadyEnded(Conflict):
    """Raised by ending what was ended: the first time stands."""

    code = "already-ended"
    title = "This was ended already"


@dataclass(frozen=True, slots=True)
class Common:
    """What recording any of them takes: its id, and whom it is about."""

    row_id: UUID
    patient_id: UUID


async def exclude(db: AsyncSession, permit: CasePermit, about: Common, account_id: UUID) -> Sequence[CaseId]:
    """Close one person's access to one citizen in every case, whatever it rests on but for a threatened life.

    Nobody is told: whoever is meant loses cells, and does not learn by what.

    Returns:
        Every case about the citizen, those that the actor knows nothing of too.

    Raises:
        Forbidden: a citizen decides for themselves alone, a representative for whom they represent.
        Invalid: no such subject or person, it is the citizen or the one who records it, or it is beyond the scope.
        AlreadyExcluded: that is so already.
    """
    _require_say(permit, about.patient_id)
    wrong = _subject_faults(permit, about.patient_id)
    if await _beyond_scope(db, permit, about.patient_id, None):
        wrong.append(Fault("/patientId", "outside-scope", "This concerns everything about the patient."))
    if account_id == permit.actor.account_id or account_id in await _accounts_of_subjects(db, permit):
        wrong.append(Fault("/accountId", "not-to-exclude", "Nobody excludes the citizen, or themselves."))
    elif await _unknown(db, permit, about.patient_id, account_id):
        wrong.append(Fault("/accountId", "unknown", "There is no such person."))
    if wrong:
        raise Invalid(*wrong)
    async with changing_everywhere(db, permit, about.patient_id, "access-changed") as cases:
        present = await grounds_store.in_force(db, permit, Exclusion)
        if any((row["patient_id"], row["account_id"]) == (about.patient_id, account_id) for row in present):
            raise AlreadyExcluded
        row = Exclusion(**_recorded(permit, about), account_id=account_id)
        await grounds_store.add(db, permit, row)
    await _confirm(db, permit, about)
    return cases


async def object_to(
    db: AsyncSession, permit: CasePermit, about: Common, member_id: UUID, categories: Collection[Category] | None
) -> None:
    """Close to one member what treatment opens about one citizen: these categories, or None for all of it.

    Raises:
        Forbidden: a citizen decides for themselves alone, a representative for whom they represent.
        Invalid: no such subject or member, a category named twice, or beyond the scope.
    """
    _require_say(permit, about.patient_id)
    wrong = _subject_faults(permit, about.patient_id)
    if not await _seats_of(db, permit, member_id):
        wrong.append(Fault("/memberId", "not-a-member", "There is no such member at this table."))
    if await _beyond_scope(db, permit, about.patient_id, categories):
        wrong.append(Fault("/categories", "outside-scope", "You represent the patient in other categories."))
    if categories is not None and len(set(categories)) != len(categories):
        wrong.append(Fault("/categories", "repeated", "A category is named twice."))
    if wrong:
        raise Invalid(*wrong)
    named = None if categories is None else [str(one) for one in categories]
    async with changing(db, permit, "access-changed"):
        row = Objection(**_recorded(permit, about), member_id=member_id, categories=named)
        await grounds_store.add(db, permit, row)
    await _confirm(db, permit, about)


async def open_for(
    db: AsyncSession,
    permit: CasePermit,
    crypto: Crypto,
    about: Common,
    *,
    member_id: UUID,
    category: Category,
    reason: str,
    valid_until: datetime | None,
) -> None:
    """Open to one treating member a category that treatment leaves closed, with a reason that is sealed.

    Raises:
        Forbidden: the actor is not directly involved in a role that may open, or the member is of another domain.
        Invalid: no such subject or member, a category that is not opened like this, or an end in the past.
    """
    wrong = _subject_faults(permit, about.patient_id)
    own = [seat for seat in await _seats_of(db, permit, permit.standing.member_id) if seat.direct_treatment]
    if permit.actor.role not in OPENERS or not own:
        raise Forbidden("Who opens this is directly involved in the treatment.")
    seats = await _seats_of(db, permit, member_id)
    if not any(seat.direct_treatment and seat.role in TREATING for seat in seats):
        wrong.append(Fault("/memberId", "not-treating", "There is no such member who is directly involved."))
    elif not any(seat.domain is permit.actor.domain for seat in seats):
        raise Forbidden("Nobody opens what is another domain's.")
    if category not in OPENED_PER_MEMBER:
        wrong.append(Fault("/category", "not-openable", "This category is not opened for one member."))
    if valid_until is not None and valid_until <= permit.now:
        wrong.append(Fault("/validUntil", "past", "The end must lie in the future."))
    if wrong:
        raise Invalid(*wrong)
    place = _place(permit.case_id, about.row_id, category, permit.actor.account_id)
    key = await crypto.data_keys.sealing(permit.case_id, category)
    async with changing(db, permit, "access-changed"):
        row = Opening(
            **_recorded(permit, about),
            member_id=member_id,
            category=category,
            reason_sealed=seal_text(key, reason, place),
            valid_until=valid_until,
        )
        await grounds_store.add(db, permit, row)


async def end_exclusion(db: AsyncSession, permit: CasePermit, row_id: UUID) -> tuple[RowMapping, Sequence[CaseId]]:
    """End an exclusion from now on; return it, and every case about the citizen. Others about the same person stand.

    Raises:
        NotFound: there is none that the actor may see.
        Forbidden: a citizen decides for themselves alone.
        AlreadyEnded: it was.
    """
    row = await find(db, permit, Exclusion, row_id)
    _require_say(permit, row["patient_id"])
    async with changing_everywhere(db, permit, row["patient_id"], "access-changed") as cases:
        row = await find(db, permit, Exclusion, row_id)
        if not await grounds_store.end(db, permit, Exclusion, row_id):
            raise AlreadyEnded if row["ended_at"] is not None else Forbidden
    await _confirm(db, permit, Common(row_id, row["patient_id"]), NoticeKind.EXCLUSION_ENDED)
    return row, cases


async def end(
    db: AsyncSession, permit: CasePermit, table: type[Objection] | type[Opening], row_id: UUID
) -> RowMapping:
    """End one of them from now on, and return it.

    Raises:
        NotFound: there is none that the actor may see.
        Forbidden: a citizen decides for themselves alone.
        AlreadyEnded: it was.
    """
    async with changing(db, permit, "access-changed"):
        row = await find(db, permit, table, row_id)
        if table is not Opening:
            _require_say(permit, row["patient_id"])
        if not await grounds_store.end(db, permit, table, row_id):
            raise AlreadyEnded if row["ended_at"] is not None else Forbidden
    if table is not Opening:
        await _confirm(db, permit, Common(row_id, row["patient_id"]), NoticeKind.OBJECTION_ENDED)
    return row


async def find(db: AsyncSession, permit: CasePermit, table: Recorded, row_id: UUID) -> RowMapping:
    """Return one of them.

    Raises:
        NotFound: there is none that the actor may see.
    """
    row = await grounds_store.one(db, permit, table, row_id)
    if row is None:
        raise NotFound
    return row


async def listed(
    db: AsyncSession, permit: CasePermit, table: Recorded, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return those that the actor may see, the ended ones too, newest first."""
    return await grounds_store.listed(db, permit, table, before=before, limit=limit)


async def reasons(crypto: Crypto, rows: Sequence[RowMapping]) -> list[str]:
    """Return why each of these openings was made."""
    keys = await crypto.data_keys.opening(row["reason_sealed"] for row in rows)
    return [
        open_text(
            keys[key_id_of(row["reason_sealed"])],
            row["reason_sealed"],
            _place(row["case_id"], row["id"], Category(row["category"]), row["recorded_by_account_id"]),
        )
        for row in rows
    ]


def _place(case_id: UUID, row_id: UUID, category: Category, author: UUID) -> Place:
    return Place("opening", "reason_sealed", row_id, case_id, category, author)


def _recorded(permit: CasePermit, about: Common) -> dict[str, Any]:
    return {
        "case_id": permit.case_id,
        "id": about.row_id,
        "patient_id": about.patient_id,
        "recorded_by_account_id": permit.actor.account_id,
        "recorded_by_engagement_id": permit.actor.engagement_id,
        "recorded_at": permit.now,
    }


def _require_say(permit: CasePermit, patient_id: UUID) -> None:
    """Let through the citizen for themselves, who represents them, and a professional on the citizen's word."""
    standing = permit.standing
    if standing.speaks_for and patient_id in set(standing.subjects) - standing.speaks_for:
        raise Forbidden("Each person decides for themselves, and for whom they represent.")


async def _beyond_scope(
    db: AsyncSession, permit: CasePermit, patient_id: UUID, categories: Collection[Category] | None
) -> bool:
    """Whether the actor is a representative and speaks for this patient about other things; None is everything."""
    if permit.actor.role is not Role.REPRESENTATIVE:
        return False
    own = own_say(permit, await says(db, permit, patient_id))
    scope = own.say.scope if own else frozenset()
    return scope is not None and (categories is None or not set(categories) <= scope)


async def _unknown(db: AsyncSession, permit: CasePermit, patient_id: UUID, account_id: UUID) -> bool:
    """Whether there is no such person for the actor: to a representative no other representative is there."""
    if await identity.invitee(db, AccountId(account_id), now=permit.now) is None:
        return True
    return permit.actor.role is Role.REPRESENTATIVE and await store.is_representative(
        db, permit, patient_id, account_id
    )


def _subject_faults(permit: CasePermit, patient_id: UUID) -> list[Fault]:
    standing = permit.standing
    known = patient_id in standing.speaks_for or standing.holds_any(permit.now, PatientId(patient_id))
    if known and patient_id in standing.subjects:
        return []
    return [Fault("/patientId", "not-a-subject", "This case is not about that patient.")]


async def _seats_of(db: AsyncSession, permit: CasePermit, member_id: UUID | None) -> list[Seat]:
    seats = parse_inputs(await store.grant_inputs(db, permit.case_id)).seats
    return [seat for seat in seats if seat.member_id == member_id and seat.period.holds(permit.now)]


async def _accounts_of_subjects(db: AsyncSession, permit: CasePermit) -> set[UUID | None]:
    return {one.account_id for one in parse_inputs(await store.grant_inputs(db, permit.case_id)).subjects}


async def _confirm(
    db: AsyncSession, permit: CasePermit, about: Common, kind: NoticeKind = NoticeKind.ORAL_CONFIRMATION
) -> None:
    """Confirm to the citizen what somebody else recorded on their word."""
    if about.patient_id not in permit.standing.speaks_for:
        await notify(
            db,
            case_id=permit.case_id,
            to=Citizen(about.patient_id),
            kind=kind,
            about=about.row_id,
            now=permit.now,
        )
