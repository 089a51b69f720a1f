"""Use cases that change who sits at the table: open a case, invite, accept, refuse, leave, record a public task.

Each takes the case's lock first, changes its rows, derives the grants, and appends its events last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, Cell, RolePermit
from app.access.tables import DOMAIN_OF_TREATMENT, TREATING
from app.access.vocabulary import PARTICIPANTS, CaseRole, Category, Domain, Law, ReasonCode, Role
from app.cases import service as cases
from app.cases.service import Seating
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import AccountId, CaseId, EngagementId, EventId, MemberId, PatientId, new_id
from app.crypto.service import Crypto
from app.entitlement import store
from app.entitlement.derivation import rederive
from app.events import service as events
from app.events.bodies import seal_body
from app.events.drafts import Draft, EventType, contacts, holders_of, only
from app.identity import service as identity
from app.identity.offices import organisations


class CaseClosed(Conflict):
    """Raised when a closed case would be changed."""

    code = "case-closed"
    title = "The case is closed"


@dataclass(frozen=True, slots=True)
class Invitation:
    """Whom to invite, in what role, and why."""

    account_id: AccountId
    case_role: CaseRole
    direct_treatment: bool
    history: str
    reason_code: ReasonCode


async def open_case(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    *,
    case_id: CaseId,
    kind: str,
    questions: Mapping[PatientId, str],
) -> None:
    """Open a case about the given patients, each with a question; the opener sits at the table at once.

    A citizen's case is a request: it opens when the first professional accepts. A citizen linked to a subject is a
    member from the opening.

    Raises:
        Invalid: a patient is not of the actor's own organisation.
    """
    actor = permit.actor
    patient_ids = list(questions)
    citizen = actor.role is Role.CITIZEN
    domain = actor.domain or Domain.CARE
    await cases.create_case(
        db,
        permit,
        case_id=case_id,
        kind=kind,
        patient_ids=patient_ids,
        domain=domain,
        status="requested" if citizen else "open",
    )
    await events.open_stream(db, case_id)
    own_seat = MemberId(new_id())
    direct = actor.role in TREATING and actor.domain in DOMAIN_OF_TREATMENT
    await cases.seat(
        db, permit, case_id, own_seat, Seating(actor.engagement_id, _opener_role(actor.role), direct, "accepted")
    )
    for _, engagement_id in await cases.add_subjects(db, permit, case_id, patient_ids):
        if engagement_id != actor.engagement_id:
            seating = Seating(engagement_id, CaseRole.PATIENT, False, "accepted")
            await cases.seat(db, permit, case_id, MemberId(new_id()), seating)
    if actor.role is Role.SOCIAL_TEAM and actor.law is not None:
        await cases.add_task(db, permit, case_id, own_seat, task_id=new_id(), law=actor.law, valid_from=permit.now)
    change = await rederive(db, case_id, now=permit.now)
    opened = [
        await opening(crypto, permit, case_id, patient_id, domain, question)
        for patient_id, question in questions.items()
    ]
    await events.append(db, case_id, [*opened, *change.drafts("case-opened")], actor=actor, at=permit.now)


def _opener_role(role: Role) -> CaseRole:
    if role is Role.CITIZEN:
        return CaseRole.PATIENT
    return CaseRole.REGIEBEHANDELAAR if role in TREATING else CaseRole.DEELNEMER


async def opening(
    crypto: Crypto,
    permit: RolePermit | CasePermit,
    case_id: CaseId,
    patient_id: PatientId,
    domain: Domain,
    question: str,
) -> Draft:
    """Return the event that holds the question about one person, for whoever reads their plan."""
    cell = Cell(patient_id, Category.PLAN_GOALS_ACTIONS, domain)
    event_id = EventId(new_id())
    body = await seal_body(
        crypto.data_keys,
        question,
        event_id=event_id,
        case_id=case_id,
        category=cell.category,
        author=permit.actor.account_id,
    )
    return Draft(id=event_id, type=EventType.CASE_OPENED, audience=holders_of(cell), body=body)


async def invite(db: AsyncSession, permit: CasePermit, invitation: Invitation, *, member_id: MemberId) -> str:
    """Invite somebody to the table; colleagues of the opener's own practice sit down at once.

    Returns:
        The new member's status, ``accepted`` or ``invited``.

    Raises:
        Invalid: there is no such account, or it cannot be directly involved in treatment.
        Forbidden: a person of a household would open the others' cells.
        AlreadyMember: it sits there, or was asked, already.
        NoCooperationAgreement: several organisations would be at the table, and one has no recorded agreement.
        CaseClosed: the case is closed.
    """
    if permit.standing.status == "closed":
        raise CaseClosed
    person = await identity.invitee(db, invitation.account_id, now=permit.now)
    if person is None or person.role not in PARTICIPANTS or person.role is Role.CITIZEN:
        raise Invalid(Fault("/accountId", "not-found", "There is no such account that can be a member."))
    if person.role is Role.REPRESENTATIVE or invitation.case_role is CaseRole.WETTELIJK_VERTEGENWOORDIGER:
        # A seat taken otherwise would show one parent to the other.
        raise Invalid(Fault("/accountId", "by-representation", "Representatives sit by a recorded representation."))
    if invitation.case_role is CaseRole.PATIENT:
        raise Invalid(Fault("/caseRole", "not-allowed", "The citizen sits at the table without an invitation."))
    if invitation.direct_treatment and not (person.role in TREATING and person.domain in DOMAIN_OF_TREATMENT):
        raise Invalid(
            Fault("/directTreatment", "not-a-treating-role", "Only care professionals are directly involved.")
        )
    if invitation.direct_treatment and not permit.standing.speaks_for_all:
        raise Forbidden("Who treats a household is for its case manager to say.")
    position = await store.lock_case(db, permit.case_id)
    await organisations.require_agreement_at_table(db, permit.case_id, person.engagement_id)
    opener = EngagementId(UUID((await store.grant_inputs(db, permit.case_id))["case"]["openedBy"]))
    own = await identity.organisation_of(db, opener)
    colleague = own is not None and person.organisation_id == own
    seating = Seating(
        engagement_id=person.engagement_id,
        case_role=invitation.case_role,
        direct_treatment=invitation.direct_treatment,
        status="accepted" if colleague else "invited",
        history=invitation.history,
        history_from_seq=position + 1 if invitation.history == "from-now" and colleague else 0,
        reason_code=invitation.reason_code,
    )
    await cases.seat(db, permit, permit.case_id, member_id, seating)
    change = await rederive(db, permit.case_id, now=permit.now)
    kind = EventType.MEMBER_ACCEPTED if colleague else EventType.MEMBER_INVITED
    drafts = [_seated(kind, permit, member_id, person.engagement_id), *change.drafts("member-joined")]
    await events.append(db, permit.case_id, drafts, actor=permit.actor, at=permit.now)
    return seating.status


def _seated(kind: EventType, permit: CasePermit, member_id: MemberId, engagement_id: EngagementId) -> Draft:
    return Draft(
        type=kind,
        audience=contacts(permit.standing.domain),
        refers_to=member_id,
        data={"memberId": str(member_id), "engagementId": str(engagement_id)},
    )


async def accept(db: AsyncSession, permit: CasePermit, member_id: UUID) -> None:
    """Accept the actor's own invitation.

    Raises:
        NotFound: the invitation is not the actor's.
        InvitationDecided: it was decided before.
    """
    mine = _own_seat(permit, member_id)
    position = await store.lock_case(db, permit.case_id)
    await cases.decide_invitation(db, permit, mine, accepted=True, from_seq=position + 1)
    change = await rederive(db, permit.case_id, now=permit.now)
    accepted = _seated(EventType.MEMBER_ACCEPTED, permit, mine, permit.actor.engagement_id)
    await events.append(
        db, permit.case_id, [accepted, *change.drafts("member-joined")], actor=permit.actor, at=permit.now
    )


async def refuse(db: AsyncSession, permit: CasePermit, member_id: UUID, reason: str | None) -> None:
    """Refuse the actor's own invitation; the reason, a code, is told to who sees the members.

    Raises:
        NotFound: the invitation is not the actor's.
        InvitationDecided: it was decided before.
    """
    mine = _own_seat(permit, member_id)
    await store.lock_case(db, permit.case_id)
    await cases.decide_invitation(db, permit, mine, accepted=False, from_seq=0)
    await rederive(db, permit.case_id, now=permit.now)
    draft = _seated(EventType.MEMBER_LEFT, permit, mine, permit.actor.engagement_id)
    data = {**(draft.data or {}), "why": "refused", "reason": reason}
    await events.append(
        db,
        permit.case_id,
        [Draft(type=draft.type, audience=draft.audience, refers_to=mine, data=data)],
        actor=permit.actor,
        at=permit.now,
    )


def _own_seat(permit: CasePermit, member_id: UUID) -> MemberId:
    if permit.standing.member_id != member_id:
        raise NotFound
    return MemberId(member_id)


async def end_membership(db: AsyncSession, permit: CasePermit, member_id: UUID) -> None:
    """Leave, or end another's membership; what the member wrote stays theirs under the contributions.

    Raises:
        NotFound: there is no such member that the actor may see.
        Forbidden: it is for others to say, of a household for its case manager; or it is the subject's own seat.
    """
    row = await cases.find_member(db, permit, member_id)
    own = row["engagement_id"] == permit.actor.engagement_id
    if not own and not permit.standing.speaks_for_all:
        raise Forbidden
    if row["case_role"] == CaseRole.PATIENT:
        raise Forbidden("The citizen whom the case is about stays at the table.")
    if row["kind"] == "emergency":
        raise Forbidden("Who broke the glass ends that, and time does.")
    await store.lock_case(db, permit.case_id)
    await cases.end_member(db, permit, member_id)
    change = await rederive(db, permit.case_id, now=permit.now)
    left = _seated(EventType.MEMBER_LEFT, permit, MemberId(member_id), row["engagement_id"])
    told = Draft(
        type=EventType.MEMBER_LEFT,
        audience=only(row["engagement_id"]),
        refers_to=member_id,
        data={**(left.data or {}), "why": "membership-ended"},
    )
    drafts: Sequence[Draft] = [left, *change.drafts("membership-ended"), told]
    await events.append(db, permit.case_id, drafts, actor=permit.actor, at=permit.now)


async def record_task(
    db: AsyncSession, permit: CasePermit, member_id: UUID, *, task_id: UUID, law: Law, valid_from: datetime | None
) -> None:
    """Record that a member carries out a public task under a law; membership alone opens nothing for it.

    Raises:
        NotFound: there is no such member.
        Forbidden: the actor is neither the case manager nor the one citizen whom the case is about.
        Invalid: the member's engagement is not under that law, or the start lies in the past.
    """
    if not permit.standing.manages and permit.standing.subject_of != frozenset(permit.standing.subjects):
        raise Forbidden
    row = await cases.find_member(db, permit, member_id)
    if row["status"] not in ("invited", "accepted"):
        raise NotFound
    if valid_from is not None and valid_from < permit.now:
        raise Invalid(Fault("/validFrom", "past", "Nothing takes effect before it is recorded."))
    if not await identity.engagement_under(db, row["engagement_id"], law):
        raise Invalid(Fault("/law", "other-law", "The member's engagement is not under this law."))
    await store.lock_case(db, permit.case_id)
    await cases.add_task(
        db,
        permit,
        permit.case_id,
        MemberId(member_id),
        task_id=task_id,
        law=law,
        valid_from=valid_from or permit.now,
    )
    change = await rederive(db, permit.case_id, now=permit.now)
    await _append_if_any(db, permit, change.drafts("public-task-recorded"))


async def end_task(db: AsyncSession, permit: CasePermit, task_id: UUID) -> None:
    """End a public task; what it opened closes at once.

    Raises:
        Forbidden: a person of a household does not decide for the others.
        NotFound: the case has no such task in force.
    """
    if not permit.standing.speaks_for_all:
        raise Forbidden
    await store.lock_case(db, permit.case_id)
    await cases.end_task(db, permit, task_id)
    change = await rederive(db, permit.case_id, now=permit.now)
    await _append_if_any(db, permit, change.drafts("public-task-ended"))


async def _append_if_any(db: AsyncSession, permit: CasePermit, drafts: Sequence[Draft]) -> None:
    if drafts:
        await events.append(db, permit.case_id, drafts, actor=permit.actor, at=permit.now)
