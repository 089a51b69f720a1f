"""Patients, cases, subjects, members: what changes their rows. What that opens to whom is decided in entitlement."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import SimpleNamespace
from unicodedata import normalize
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, RolePermit, SelfPermit
from app.access.vocabulary import CaseRole, Category, Domain, Law, ReasonCode
from app.cases import store
from app.cases.model import CareCase, Member, Patient, PublicTask
from app.core.errors import Conflict, Fault, Invalid, NotFound
from app.core.ids import CaseId, EngagementId, MemberId, PatientId
from app.crypto.bsn import normalise_bsn
from app.crypto.sealing import DataKey, Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.events.bodies import open_bodies


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name in parts."""

    given: str
    family: str
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class PatientInfo:
    """A patient as those see them who may identify them. Never the BSN."""

    id: PatientId
    name: Name
    birth_date: date
    neighbourhood: str
    linked: bool


@dataclass(frozen=True, slots=True)
class NewPatient:
    """What is registered of a patient: either a BSN or the reason there is none."""

    name: Name
    birth_date: date
    neighbourhood: str
    bsn: str | None = None
    no_bsn_reason: str | None = None


class AlreadyMember(Conflict):
    """Raised when somebody who sits at the table, or was asked to, is invited again."""

    code = "already-member"
    title = "This person is a member or was invited already"


class InvitationDecided(Conflict):
    """Raised when an invitation was accepted, refused or taken back before."""

    code = "invitation-decided"
    title = "This invitation was decided already"


def _place(patient_id: UUID, column: str) -> Place:
    return Place("patient", column, patient_id, patient_id, Category.IDENTIFICATION, None)


def _name_text(name: Name) -> str:
    return "\x1f".join((name.given, name.prefix or "", name.family))


def _name_index(crypto: Crypto, family: str, birth_date: date) -> bytes:
    """Return the index of a name however it is typed: in either case, spacing, and composition of accents."""
    plain = " ".join(normalize("NFKC", family).casefold().split())
    return crypto.digests.digest("patient-name", plain.encode(), birth_date.isoformat().encode())


async def register_patient(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, new: NewPatient, patient_id: PatientId
) -> tuple[PatientId, bool]:
    """Register a patient of the actor's organisation; the same BSN again is the same patient, unchanged.

    Returns:
        The patient's id, and whether it is new.

    Raises:
        Invalid: the BSN does not pass the 11-proef.
    """
    bsn = normalise_bsn(new.bsn) if new.bsn is not None else None
    if new.bsn is not None and bsn is None:
        raise Invalid(Fault("/bsn", "bsn-invalid", "This is not a valid BSN (11-proef)."))
    organisation = permit.actor.organisation_id
    if organisation is None:
        raise NotFound
    indexes = (crypto.bsn.by_organisation(organisation, bsn), crypto.bsn.for_link(bsn)) if bsn else None
    account = None
    if indexes:
        await store.lock_bsn(db, indexes[0])
        known = await store.patient_with_bsn(db, permit, indexes[0])
        if known is not None:
            return known, False
        account = await store.account_with_bsn(db, indexes[1])
    key = await crypto.data_keys.sealing(patient_id, Category.IDENTIFICATION)
    row = Patient(
        id=patient_id,
        organisation_id=organisation,
        bsn_sealed=seal_text(key, bsn, _place(patient_id, "bsn_sealed")) if bsn else None,
        bsn_organisation_index=indexes[0] if indexes else None,
        bsn_link_index=indexes[1] if indexes else None,
        no_bsn_reason_sealed=None
        if bsn
        else seal_text(key, new.no_bsn_reason or "", _place(patient_id, "no_bsn_reason_sealed")),
        name_sealed=seal_text(key, _name_text(new.name), _place(patient_id, "name_sealed")),
        name_index=_name_index(crypto, new.name.family, new.birth_date),
        birth_date_sealed=seal_text(key, new.birth_date.isoformat(), _place(patient_id, "birth_date_sealed")),
        neighbourhood=new.neighbourhood,
        account_id=account,
        registered_by_account_id=permit.actor.account_id,
        registered_at=permit.now,
    )
    await store.add_patient(db, permit, row)
    return patient_id, True


async def _opened(crypto: Crypto, rows: Sequence[RowMapping]) -> list[PatientInfo]:
    keys = await crypto.data_keys.opening(
        value for row in rows for value in (row["name_sealed"], row["birth_date_sealed"])
    )
    return [_patient(keys, row) for row in rows]


def _patient(keys: Mapping[UUID, DataKey], row: RowMapping) -> PatientInfo:
    def text_of(column: str) -> str:
        return open_text(keys[key_id_of(row[column])], row[column], _place(row["id"], column))

    given, prefix, family = text_of("name_sealed").split("\x1f")
    return PatientInfo(
        id=row["id"],
        name=Name(given=given, family=family, prefix=prefix or None),
        birth_date=date.fromisoformat(text_of("birth_date_sealed")),
        neighbourhood=row["neighbourhood"],
        linked=row["account_id"] is not None,
    )


async def patients(
    db: AsyncSession, permit: RolePermit | SelfPermit | CasePermit, crypto: Crypto, ids: Collection[UUID]
) -> dict[UUID, PatientInfo]:
    """Return those of the patients that the actor may identify, by id."""
    if not ids:
        return {}
    return {info.id: info for info in await _opened(crypto, await store.patients(db, permit, ids))}


async def birth_date(db: AsyncSession, permit: CasePermit, crypto: Crypto, patient_id: UUID) -> date:
    """Return when a subject of the permitted case was born: opened for a decision, and kept nowhere.

    Raises:
        NotFound: the case is not about that person.
    """
    sealed = await store.birth_date(db, permit, patient_id)
    if sealed is None:
        raise NotFound
    keys = await crypto.data_keys.opening([sealed])
    return date.fromisoformat(open_text(keys[key_id_of(sealed)], sealed, _place(patient_id, "birth_date_sealed")))


async def search_patients(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    *,
    bsn: str | None,
    family: str | None,
    birth_date: date | None,
) -> list[PatientInfo]:
    """Return the patients with this BSN, or this name and birth date, of the actor's organisation and cases.

    A BSN that fails the 11-proef finds nobody, as one that nobody has.
    """
    if bsn is not None:
        normal = normalise_bsn(bsn)
        if normal is None:
            return []
        index = crypto.bsn.for_link(normal)
        rows = await store.search_patients(db, permit, bsn_link_index=index, name_index=None)
    elif family is not None and birth_date is not None:
        index = _name_index(crypto, family, birth_date)
        rows = await store.search_patients(db, permit, bsn_link_index=None, name_index=index)
    else:
        rows = []
    return await _opened(crypto, rows)


async def create_case(
    db: AsyncSession,
    permit: RolePermit,
    *,
    case_id: CaseId,
    kind: str,
    patient_ids: Sequence[PatientId],
    domain: Domain,
    status: str,
) -> None:
    """Insert a case with its subjects, opened by the actor.

    Raises:
        Invalid: a patient is not of the actor's own organisation (for a citizen: not the citizen).
    """
    rows = {row["id"]: row for row in await store.patients(db, permit, patient_ids)}
    pointer = "/patientIds/{}" if kind == "individual" else "/patients/{}/patientId"
    faults = [
        Fault(pointer.format(index), "not-found", "There is no such patient in your organisation.")
        for index, patient_id in enumerate(patient_ids)
        if (row := rows.get(patient_id)) is None
        or (row["organisation_id"] != permit.actor.organisation_id and row["account_id"] != permit.actor.account_id)
    ]
    if faults:
        raise Invalid(*faults)
    organisation = permit.actor.organisation_id or rows[patient_ids[0]]["organisation_id"]
    await store.add_case(
        db,
        permit,
        CareCase(
            id=case_id,
            kind=kind,
            status=status,
            organisation_id=organisation,
            domain=domain,
            opened_by_account_id=permit.actor.account_id,
            opened_by_engagement_id=permit.actor.engagement_id,
            opened_at=permit.now,
        ),
    )


@dataclass(frozen=True, slots=True)
class Seating:
    """Who gets which seat, and how they came by it."""

    engagement_id: EngagementId
    case_role: CaseRole
    direct_treatment: bool
    status: str
    history: str = "all"
    history_from_seq: int = 0
    reason_code: ReasonCode | None = None


async def seat(
    db: AsyncSession, permit: RolePermit | CasePermit, case_id: CaseId, member_id: MemberId, seating: Seating
) -> None:
    """Insert a member, invited by the actor.

    Raises:
        AlreadyMember: the engagement holds a seat or an open invitation.
    """
    member = Member(
        case_id=case_id,
        id=member_id,
        kind="person",
        engagement_id=seating.engagement_id,
        case_role=seating.case_role,
        direct_treatment=seating.direct_treatment,
        history=seating.history,
        history_from_seq=seating.history_from_seq,
        reason_code=seating.reason_code,
        status=seating.status,
        invited_by_engagement_id=permit.actor.engagement_id,
        invited_at=permit.now,
        decided_at=permit.now if seating.status == "accepted" else None,
    )
    try:
        await store.add_member(db, permit, member)
    except IntegrityError as error:
        # Asked of the table's own rule: a case manager invites without seeing who is there already.
        raise AlreadyMember from error


async def add_subjects(
    db: AsyncSession, permit: RolePermit, case_id: CaseId, patient_ids: Sequence[PatientId]
) -> list[tuple[PatientId, EngagementId]]:
    """Insert the subjects; return the citizens among them who have an account, with their engagement."""
    rows = await store.patients(db, permit, patient_ids)
    await store.add_subjects(db, permit, case_id, patient_ids)
    linked = []
    for row in rows:
        if row["account_id"] is not None:
            engagement = await store.citizen_engagement(db, row["account_id"])
            if engagement is not None:
                linked.append((PatientId(row["id"]), EngagementId(engagement)))
    return linked


async def own_patients(db: AsyncSession, permit: CasePermit, ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of the patients that the actor's own organisation registered."""
    rows = await store.patients(db, permit, ids)
    return frozenset(row["id"] for row in rows if row["organisation_id"] == permit.actor.organisation_id)


async def ask_to_join(db: AsyncSession, permit: CasePermit, patient_id: PatientId) -> None:
    """Insert a person of a household who takes part as long as a consent of theirs holds."""
    await store.add_subjects(db, permit, permit.case_id, [patient_id], by_consent=True)


async def add_task(
    db: AsyncSession,
    permit: RolePermit | CasePermit,
    case_id: CaseId,
    member_id: MemberId,
    *,
    task_id: UUID,
    law: Law,
    valid_from: datetime,
) -> None:
    """Record a public task of the municipality for one member."""
    await store.add_task(
        db,
        permit,
        PublicTask(
            case_id=case_id,
            id=task_id,
            member_id=member_id,
            law=law,
            valid_from=valid_from,
            recorded_by_engagement_id=permit.actor.engagement_id,
            recorded_at=permit.now,
        ),
    )


async def find_task(db: AsyncSession, permit: CasePermit, task_id: UUID) -> RowMapping:
    """Return one public task of the permitted case.

    Raises:
        NotFound: there is none that the actor may see.
    """
    row = await store.task(db, permit, task_id)
    if row is None:
        raise NotFound
    return row


async def end_task(db: AsyncSession, permit: CasePermit, task_id: UUID) -> None:
    """End a public task.

    Raises:
        NotFound: the permitted case has no such task in force.
    """
    if not await store.end_task(db, permit, task_id):
        raise NotFound


async def find_member(db: AsyncSession, permit: CasePermit, member_id: UUID) -> RowMapping:
    """Return one member of the permitted case.

    Raises:
        NotFound: there is none that the actor may see.
    """
    row = await store.member(db, permit, member_id)
    if row is None:
        raise NotFound
    return row


async def decide_invitation(
    db: AsyncSession, permit: CasePermit, member_id: UUID, *, accepted: bool, from_seq: int
) -> None:
    """Accept or refuse the actor's own invitation.

    Raises:
        InvitationDecided: it was decided before.
    """
    status = "accepted" if accepted else "refused"
    if not await store.decide(db, permit, member_id, status=status, from_seq=from_seq):
        raise InvitationDecided
    if accepted and permit.standing.status == "requested":
        await store.set_status(db, permit, "open")


async def end_member(db: AsyncSession, permit: CasePermit, member_id: UUID) -> None:
    """End a membership.

    Raises:
        NotFound: there is no such open membership.
    """
    if not await store.end_member(db, permit, member_id):
        raise NotFound


async def invitations(db: AsyncSession, permit: SelfPermit) -> Sequence[RowMapping]:
    """Return the actor's open invitations, newest first."""
    return await store.invitations(db, permit)


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member as those see who may see who is at the table."""

    id: MemberId
    engagement_id: EngagementId
    case_role: CaseRole
    direct_treatment: bool
    status: str
    reason_code: ReasonCode | None
    invited_by: EngagementId | None
    invited_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case as one viewer may see it: hidden subjects, questions and members are simply not there."""

    id: CaseId
    kind: str
    status: str
    opened_at: datetime
    patients: tuple[PatientInfo, ...]
    questions: Mapping[UUID, str]
    members: tuple[MemberView, ...]


async def page(
    db: AsyncSession, permit: SelfPermit, *, status: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return rows of the cases the actor sits at, newest first."""
    return await store.case_rows(db, permit, status=status, before=before, limit=limit)


async def view(
    db: AsyncSession,
    permit: RolePermit | SelfPermit | CasePermit,
    crypto: Crypto,
    case_ids: Sequence[CaseId],
    *,
    rows: Sequence[RowMapping] | None = None,
) -> list[CaseView]:
    """Return cases with what the actor may see of them, in the given order.

    Raises:
        NotFound: the permitted case is there no longer for this actor.
    """
    if rows is None:
        assert isinstance(permit, CasePermit)
        row = await store.case_row(db, permit)
        if row is None:
            raise NotFound  # the actor's seat was taken away a moment ago
        rows = [row]
    subjects = await store.subject_ids(db, case_ids)
    known = await patients(db, permit, crypto, {row["patient_id"] for row in subjects})
    asked = await store.questions(db, case_ids)
    texts = await open_bodies(crypto.data_keys, [SimpleNamespace(**row) for row in asked])
    seated = await store.members(db, case_ids)
    return [
        CaseView(
            id=row["id"],
            kind=row["kind"],
            status=row["status"],
            opened_at=row["opened_at"],
            patients=tuple(
                known[subject["patient_id"]]
                for subject in subjects
                if subject["case_id"] == row["id"] and subject["patient_id"] in known
            ),
            questions={
                question["patient_id"]: texts[question["id"]]
                for question in asked
                if question["case_id"] == row["id"]
            },
            members=tuple(_member(member) for member in seated if member["case_id"] == row["id"]),
        )
        for row in rows
    ]


def _member(row: RowMapping) -> MemberView:
    return MemberView(
        id=row["id"],
        engagement_id=row["engagement_id"],
        case_role=CaseRole(row["case_role"]),
        direct_treatment=row["direct_treatment"],
        status=row["status"],
        reason_code=ReasonCode(row["reason_code"]) if row["reason_code"] else None,
        invited_by=row["invited_by_engagement_id"],
        invited_at=row["invited_at"],
        decided_at=row["decided_at"],
    )


async def members(db: AsyncSession, permit: CasePermit) -> list[MemberView]:
    """Return the members of the permitted case, in the order they came."""
    return [_member(row) for row in await store.members(db, [permit.case_id])]
