"""Change of GP practice: announced by the side that is left, accepted or refused by a GP of the other.

Nothing changes before acceptance. Then, in one commit, everybody of the one practice leaves the table, with whoever
stands in for them, and the GP who accepts sits down as the one who treats. What was agreed to for the one practice is
asked anew for the other. Source: ADR 0011; issue 3 of 11, part 11.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, SelfPermit
from app.access.vocabulary import Category, ConsentKind, Domain, Purpose, Role
from app.cases import service as cases
from app.consent import service as consent
from app.consent.deciders import Capacity, Departure, Regime
from app.consent.decisions import Status
from app.consent.question import Question
from app.consent.rules import Departing, NamedRecipient, Origin, RecipientType, Succession, Terms
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import ConsentId, EngagementId, MemberId, new_id
from app.crypto.service import Crypto
from app.entitlement import practice_store, store
from app.entitlement.deaths import PatientDied
from app.entitlement.derivation import parse_inputs, rederive
from app.entitlement.model import PracticeChange
from app.entitlement.representing import says
from app.entitlement.rules import CLOSING_ROUND
from app.entitlement.seats import CaseClosed
from app.entitlement.telling import ASKED, tell_asked
from app.events import service as events
from app.events.drafts import Draft, EventType, contacts, only
from app.identity.offices import organisations
from app.notices import service as notices
from app.notices.kinds import Citizen, Engaged, Managers, NoticeKind, To

WHY = "practice-changed"


class PracticeChangeOpen(Conflict):
    """Raised by announcing a change while another one waits for an answer: withdraw that first."""

    code = "practice-change-open"
    title = "A change of practice waits for an answer already"


class PracticeChangeDecided(Conflict):
    """Raised by answering or withdrawing what was accepted, refused or withdrawn: the first time stands."""

    code = "practice-change-decided"
    title = "This change of practice was decided already"


async def announce(
    db: AsyncSession,
    permit: CasePermit,
    crypto: Crypto,
    *,
    change_id: UUID,
    to_organisation_id: UUID,
    from_organisation_id: UUID | None,
) -> None:
    """Announce that the citizen goes to another practice, on the citizen's word; its GPs are asked.

    Raises:
        CaseClosed, PatientDied: there is nobody any more to take over.
        Forbidden: a person of a household would decide for the others, or somebody decides with the citizen; or a
            GP of yet another practice would, or somebody whom all that it is about keep away.
        Invalid: either is no practice that there is, they are one, or nobody there could accept.
        NoCooperationAgreement: the practice has no recorded agreement.
        PracticeChangeOpen: another change is open.
    """
    await store.lock_case(db, permit.case_id)
    if await practice_store.is_shut_out(db, permit):
        raise Forbidden
    await _require_going_on(db, permit)
    leaving = await _leaving(db, permit, from_organisation_id)
    await _require_say(db, permit, crypto, leaving)
    gps = await practice_store.gps_to_ask(db, permit, to_organisation_id)
    wrong = await _faults(db, permit, to_organisation_id, leaving, gps)
    if leaving is None:
        wrong.append(Fault("/fromOrganisationId", "not-at-the-table", "Name one practice that treats at this table."))
    if wrong or leaving is None:
        raise Invalid(*wrong)
    await organisations.require_agreement_at_table(db, permit.case_id, gps[0]["engagement_id"])
    if await practice_store.is_announced(db, permit):
        raise PracticeChangeOpen
    row = PracticeChange(
        case_id=permit.case_id,
        id=change_id,
        from_organisation_id=leaving,
        to_organisation_id=to_organisation_id,
        state="announced",
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await practice_store.add(db, permit, row)
    asked: list[To] = [_always(one["engagement_id"]) for one in gps if not one["kept_away"]]
    await _tell(db, permit, change_id, NoticeKind.PRACTICE_CHANGE_ASKED, [*_citizens(permit), *asked])


async def _require_going_on(db: AsyncSession, permit: CasePermit) -> None:
    """Refuse in a case that is not open, or while it is rounded off after a death."""
    if permit.standing.status != "open":
        raise CaseClosed
    died = [one.died_at for one in parse_inputs(await store.grant_inputs(db, permit.case_id)).subjects]
    if None not in died or any(at is not None and at + CLOSING_ROUND > permit.now for at in died):
        raise PatientDied


async def _leaving(db: AsyncSession, permit: CasePermit, named: UUID | None) -> UUID | None:
    """Return the practice that is left: the one named, else the one whose case it is, else the only one there."""
    there = {row["organisation_id"]: row["home"] for row in await practice_store.practices_at(db, permit)}
    if named is not None:
        return named if named in there else None
    fitting = [one for one, home in there.items() if home] or list(there)
    return fitting[0] if len(fitting) == 1 else None


async def _require_say(db: AsyncSession, permit: CasePermit, crypto: Crypto, leaving: UUID | None) -> None:
    """Let through who manages, a GP of the practice that is left, and the citizen who decides alone and for all."""
    standing = permit.standing
    if permit.actor.role is Role.CITIZEN:
        if not standing.speaks_for_all:
            raise Forbidden("For a household its case manager announces this.")
        for patient_id in standing.subject_of:
            known = await says(db, permit, patient_id)
            question = Question(
                regime=Regime.WGBO,
                birth=await cases.birth_date(db, permit, crypto, patient_id),
                capacity=Capacity.INCAPABLE
                if any(one.capacity_lost and one.say.holds(permit.now) for one in known)
                else Capacity.CAPABLE,
                departure=None,
                categories=frozenset(),
                representations=tuple(one.say for one in known),
            )
            if question.status({None: True}, permit.now) is not Status.ACTIVE:
                raise Forbidden("Somebody decides with you; ask your GP to announce this.")
    elif not standing.speaks_for_all and permit.actor.organisation_id != leaving:
        raise Forbidden("A GP announces what becomes of the own practice's patients.")


async def _faults(
    db: AsyncSession, permit: CasePermit, to: UUID, leaving: UUID | None, gps: Sequence[RowMapping]
) -> list[Fault]:
    found = await practice_store.organisation(db, permit, to)
    pointer = "/organisationId"
    if found is None or found["kind"] != "gp_practice":
        return [Fault(pointer, "not-a-practice", "There is no such GP practice.")]
    if found["status"] != "active":
        return [Fault(pointer, "not-active", "This practice takes nobody over at present.")]
    if to == leaving:
        return [Fault(pointer, "same-practice", "That is the practice that is left.")]
    if not gps:
        return [Fault(pointer, "no-gp", "No GP works there who could accept.")]
    return []


async def withdraw(db: AsyncSession, permit: CasePermit, change_id: UUID) -> None:
    """Take an announced change back; those who were asked are asked no longer.

    Raises:
        NotFound: there is none that the actor may know of.
        Forbidden: one of a household would do it for the others, the practice that is left would keep a citizen who
            announced it, or a GP of yet another practice would.
        PracticeChangeDecided: it was answered or withdrawn before.
    """
    await store.lock_case(db, permit.case_id)
    await _close(db, permit, change_id, "withdrawn", None)
    await _tell(db, permit, change_id, NoticeKind.PRACTICE_CHANGE_OFF, _citizens(permit))


async def refuse(db: AsyncSession, permit: CasePermit, change_id: UUID, reason: str) -> None:
    """Refuse, as a GP of the practice that was asked, with a coded reason; nothing changes.

    Raises:
        NotFound: there is none that the actor may know of.
        Forbidden: it is for a GP of the other practice.
        PracticeChangeDecided: it was answered or withdrawn before.
    """
    await store.lock_case(db, permit.case_id)
    row = await _asked(db, permit, change_id)
    await _close(db, permit, change_id, "refused", reason)
    told: list[To] = [*_citizens(permit), _always(row["recorded_by_engagement_id"]), Managers()]
    await _tell(db, permit, change_id, NoticeKind.PRACTICE_CHANGE_OFF, told)


async def _close(db: AsyncSession, permit: CasePermit, change_id: UUID, state: str, reason: str | None) -> None:
    _undecided(await find(db, permit, change_id))
    if not await practice_store.close(db, permit, change_id, state, reason):
        raise Forbidden
    await notices.end_about(db, change_id, [NoticeKind.PRACTICE_CHANGE_ASKED])


async def _asked(db: AsyncSession, permit: CasePermit, change_id: UUID) -> RowMapping:
    row = await find(db, permit, change_id)
    if row["to_organisation_id"] != permit.actor.organisation_id:
        raise Forbidden("A GP of the practice that was asked answers this.")
    return row


def _undecided(row: RowMapping) -> None:
    if row["state"] != "announced":
        raise PracticeChangeDecided


async def accept(db: AsyncSession, permit: CasePermit, crypto: Crypto, change_id: UUID) -> list[tuple[UUID, UUID]]:
    """Take the case over from the other practice; from this commit on it is open to the one and closed to the other.

    Returns:
        (consent_id, patient_id) of what is asked anew.

    Raises:
        NotFound: there is none that the actor may know of.
        Forbidden: it is for a GP of the other practice, or the actor announced it.
        PracticeChangeDecided: it was answered or withdrawn before.
        CaseClosed, PatientDied: there is nobody any more to take over.
        NoCooperationAgreement: the practice has no recorded agreement.
    """
    position = await store.lock_case(db, permit.case_id)
    row = await _asked(db, permit, change_id)
    _undecided(row)
    if row["recorded_by_account_id"] == permit.actor.account_id:
        raise Forbidden("Somebody else accepts what one announced.")
    await _require_going_on(db, permit)
    await organisations.require_agreement_at_table(db, permit.case_id, permit.actor.engagement_id)
    gps = await practice_store.gps_to_ask(db, permit, row["to_organisation_id"])
    seats = await practice_store.accept(db, permit, change_id, new_id())
    own = next((one for one in seats if one["was"] in ("new", "there")), None)
    if own is None:
        raise PracticeChangeDecided
    left = [one for one in seats if one is not own]
    offered = await _offer(db, permit, crypto, row, MemberId(own["member_id"]), position)
    change = await rederive(db, permit.case_id, now=permit.now)
    await notices.end_about(db, change_id, [NoticeKind.PRACTICE_CHANGE_ASKED])
    practice: list[To] = [_always(one["engagement_id"]) for one in gps if not one["kept_away"]]
    before: list[To] = [_always(one["engagement_id"]) for one in left if one["engagement_id"] and _sat(one)]
    told = [*_citizens(permit), *practice, *before, Managers()]
    await _tell(db, permit, change_id, NoticeKind.PRACTICE_CHANGED, told)
    drafts = [*_moved(permit, left, own), *change.drafts(WHY), *_closed(left)]
    await events.append(db, permit.case_id, drafts, actor=permit.actor, at=permit.now)
    return offered


def _sat(seat: RowMapping) -> bool:
    return bool(seat["was"] == "accepted")


def _moved(permit: CasePermit, left: Iterable[RowMapping], own: RowMapping) -> list[Draft]:
    """Return what the table hears: who left it, and who came."""
    audience = contacts(permit.standing.domain)
    drafts = [
        Draft(type=EventType.MEMBER_LEFT, audience=audience, refers_to=one["member_id"], data=_seat(one))
        for one in left
    ]
    if own["was"] == "new":
        came = Draft(type=EventType.MEMBER_ACCEPTED, audience=audience, refers_to=own["member_id"], data=_seat(own))
        drafts.append(came)
    return drafts


def _closed(left: Iterable[RowMapping]) -> list[Draft]:
    """Return what ends the case on the sockets of those who left."""
    return [
        Draft(
            type=EventType.MEMBER_LEFT,
            audience=only(EngagementId(one["engagement_id"])),
            refers_to=one["member_id"],
            data={**_seat(one), "why": WHY},
        )
        for one in left
        if one["engagement_id"] is not None
    ]


def _seat(seat: RowMapping) -> dict[str, Any]:
    engagement = seat["engagement_id"]
    return {"memberId": str(seat["member_id"]), "engagementId": None if engagement is None else str(engagement)}


async def _offer(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, row: RowMapping, member_id: MemberId, position: int
) -> list[tuple[UUID, UUID]]:
    """Ask anew, for this practice, what was asked or given for the other; it opens nothing until it is decided."""
    offered: list[tuple[UUID, UUID]] = []
    for left in await practice_store.consents_left(db, permit):
        offer_id = ConsentId(new_id())
        terms = await _terms(permit, crypto, left, row["to_organisation_id"], member_id)
        await consent.record(db, permit, crypto, offer_id, terms, position=position)
        offered.append((offer_id, left["patient_id"]))
        await tell_asked(db, permit, crypto, offer_id, terms)
        if left["alone"]:
            await notices.end_about(db, left["id"], ASKED)
    await practice_store.close_consents_left(db, permit)
    return offered


async def _terms(permit: CasePermit, crypto: Crypto, left: RowMapping, to: UUID, member_id: MemberId) -> Terms:
    departure = None
    if left["departure"]:
        reason = await consent.open_reason(crypto, left)
        departure = Departing(Departure(left["departure"]), reason or "")
    # an organisation stays an organisation, a person becomes the GP who took over
    named = dict.fromkeys(
        NamedRecipient(RecipientType.ORGANISATION, to)
        if one["type"] == RecipientType.ORGANISATION
        else NamedRecipient(RecipientType.MEMBER, member_id)
        for one in left["recipients"]
    )
    return Terms(
        patient_id=left["patient_id"],
        kind=ConsentKind(left["kind"]),
        from_domains=tuple(Domain(one) for one in left["from_domains"]),
        both_ways=left["both_ways"],
        history=left["history"],
        recipients=tuple(named),
        categories=tuple(Category(one) for one in left["categories"]),
        purpose=Purpose(left["purpose"]),
        capacity=Capacity(left["capacity"]),
        departure=departure,
        valid_from=permit.now,
        valid_until=left["valid_until"],
        origin=Origin(refers_to_id=left["id"], refers_as=Succession.TRANSFER, review_months=left["review_months"]),
    )


def _always(engagement_id: UUID) -> Engaged:
    return Engaged(EngagementId(engagement_id), always=True)


def _citizens(permit: CasePermit) -> list[To]:
    """Return everybody whom the case is about but the one who acts."""
    standing = permit.standing
    return [Citizen(one) for one in standing.subjects if one not in standing.subject_of]


async def _tell(db: AsyncSession, permit: CasePermit, change_id: UUID, kind: NoticeKind, told: Iterable[To]) -> None:
    for to in told:
        await notices.notify(db, case_id=permit.case_id, to=to, kind=kind, about=change_id, now=permit.now)


async def find(db: AsyncSession, permit: CasePermit, change_id: UUID) -> RowMapping:
    """Return one change of practice of the permitted case.

    Raises:
        NotFound: there is none that the actor may know of.
    """
    row = await practice_store.one(db, permit, change_id)
    if row is None:
        raise NotFound
    return row


async def of_case(db: AsyncSession, permit: CasePermit) -> Sequence[RowMapping]:
    """Return every change of practice of the permitted case, newest first."""
    return await practice_store.of_case(db, permit)


async def asked_of_me(
    db: AsyncSession, permit: SelfPermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the changes that wait for a GP of the actor's practice, newest first; nothing of whom they are about."""
    return await practice_store.asked_of(db, permit, before=before, limit=limit)
