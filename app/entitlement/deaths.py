"""What a death closes: at once for the person and their own people, after thirty days for everybody.

Afterwards nothing of the file is given but on a request that the case manager decides and records. A death that was
recorded by mistake is undone by somebody else within those thirty days. Source: DOMAIN R-25; BW 7:458a.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import Category
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.entitlement import deaths_store, store
from app.entitlement.inputs import changing
from app.entitlement.model import AfterDeathRequest
from app.notices import service as notices
from app.notices.kinds import Managers, NoticeKind

HERE = ZoneInfo("Europe/Amsterdam")
_CATEGORY = Category.CONTACT_NETWORK


class AlreadyDied(Conflict):
    """Raised by recording a death twice."""

    code = "death-recorded"
    title = "This death was recorded already"


class DeathStands(Conflict):
    """Raised by undoing what was undone before, or stands for good since the closing round is over."""

    code = "death-stands"
    title = "This can be undone no more"


class NobodyDied(Conflict):
    """Raised by a request after death about somebody of whom no death is recorded."""

    code = "nobody-died"
    title = "No death is recorded"


class PatientDied(Conflict):
    """Raised by recording what only somebody alive decides, about somebody of whom a death is recorded."""

    code = "patient-died"
    title = "This person has died"


class InspectionGround(StrEnum):
    """On what one may see something of somebody who died. Source: BW 7:458a; DOMAIN R-25."""

    CONSENT_IN_LIFE = "consent-in-life"
    NOTIFIED_INCIDENT = "notified-incident"
    WEIGHTY_INTEREST = "weighty-interest"
    PARENT_OF_CHILD_UNDER_16 = "parent-of-child-under-16"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked after a death, and what was decided: ``given`` says what of the file, None when refused."""

    patient_id: UUID
    requester: str
    ground: InspectionGround
    reason: str
    given: str | None


async def record_death(
    db: AsyncSession, permit: CasePermit, *, death_id: UUID, patient_id: UUID, died_on: date
) -> None:
    """Record that a subject died; it closes from this commit on, on open sockets too.

    Raises:
        Invalid: the case is not about that patient, or the day is still to come.
        AlreadyDied: it was recorded before.
    """
    wrong = []
    if not await _is_about(db, permit, patient_id):
        wrong.append(Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    if died_on > permit.now.astimezone(HERE).date():
        wrong.append(Fault("/diedOn", "in-future", "A death is recorded when it has happened."))
    if wrong:
        raise Invalid(*wrong)
    async with changing(db, permit, "death"):
        if not await deaths_store.record(db, permit, death_id, patient_id, died_on):
            raise AlreadyDied
        elsewhere = [(case_id, Managers()) for case_id in await deaths_store.cases_elsewhere(db, permit, patient_id)]
        for case_id, to in ((permit.case_id, Managers(patient_id)), *elsewhere):
            kind = NoticeKind.DEATH_RECORDED
            await notices.notify(db, case_id=case_id, to=to, kind=kind, about=death_id, now=permit.now)


async def _is_about(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> bool:
    """Whether this is a subject, to somebody whom they do not keep away."""
    return patient_id in permit.standing.subjects and not await store.kept_away(db, permit, patient_id)


async def undo_death(db: AsyncSession, permit: CasePermit, crypto: Crypto, *, death_id: UUID, reason: str) -> None:
    """Undo a death that was recorded by mistake; what it closed opens again as it is derived now.

    Raises:
        NotFound: the case has no such record.
        Forbidden: the actor recorded it.
        DeathStands: it was undone before, or the closing round is over.
    """
    row = await find(db, permit, death_id)
    if row["recorded_by_account_id"] == permit.actor.account_id:
        raise Forbidden("Somebody else undoes this.")
    place = _place("death", "undo_reason_sealed", permit, death_id)
    sealed = seal_text(await crypto.data_keys.sealing(permit.case_id, _CATEGORY), reason, place)
    async with changing(db, permit, "death-undone"):
        if not await deaths_store.undo(db, permit, death_id, sealed):
            raise DeathStands
        kind, to = NoticeKind.DEATH_UNDONE, Managers(row["patient_id"])
        await notices.notify(db, case_id=permit.case_id, to=to, kind=kind, about=death_id, now=permit.now)


def _place(table: str, column: str, permit: CasePermit, row_id: UUID, author: UUID | None = None) -> Place:
    return Place(table, column, row_id, permit.case_id, _CATEGORY, author or permit.actor.account_id)


async def require_alive(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> None:
    """Let through what only somebody alive decides.

    Raises:
        PatientDied: a death of that patient is recorded.
    """
    if await deaths_store.has_died(db, permit, patient_id):
        raise PatientDied


async def find(db: AsyncSession, permit: CasePermit, death_id: UUID) -> RowMapping:
    """Return one recorded death of the permitted case.

    Raises:
        NotFound: there is none that the actor may know of.
    """
    row = await deaths_store.one(db, permit, death_id)
    if row is None:
        raise NotFound
    return row


async def deaths(db: AsyncSession, permit: CasePermit) -> Sequence[RowMapping]:
    """Return every recorded death of the permitted case, those undone included."""
    return await deaths_store.listed(db, permit)


async def decide_request(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, request_id: UUID, request: Request
) -> None:
    """Record who asked to see something after a death, on which ground, what was decided and what was given.

    Raises:
        Invalid: the case is not about that patient, or something was given on no ground.
        NobodyDied: no death of that patient is recorded.
    """
    if not await _is_about(db, permit, request.patient_id):
        raise Invalid(Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    if request.given is not None and request.ground is InspectionGround.NONE:
        raise Invalid(Fault("/ground", "no-ground", "Without a ground nothing is given."))
    await store.lock_case(db, permit.case_id)
    if not await deaths_store.has_died(db, permit, request.patient_id):
        raise NobodyDied
    key = await crypto.data_keys.sealing(permit.case_id, _CATEGORY)

    def sealed(column: str, text: str) -> bytes:
        return seal_text(key, text, _place("after_death_request", column, permit, request_id))

    row = AfterDeathRequest(
        case_id=permit.case_id,
        id=request_id,
        patient_id=request.patient_id,
        ground=request.ground,
        granted=request.given is not None,
        requester_sealed=sealed("requester_sealed", request.requester),
        reason_sealed=sealed("reason_sealed", request.reason),
        given_sealed=None if request.given is None else sealed("given_sealed", request.given),
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await deaths_store.add_request(db, permit, row)


async def requests(
    db: AsyncSession, permit: CasePermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return what was asked after deaths in the permitted case, newest first, its texts sealed."""
    return await deaths_store.requests(db, permit, before=before, limit=limit)


async def find_request(db: AsyncSession, permit: CasePermit, request_id: UUID) -> RowMapping:
    """Return one request after death.

    Raises:
        NotFound: there is none that the actor may read.
    """
    rows = await deaths_store.requests(db, permit, request_id=request_id)
    if not rows:
        raise NotFound
    return rows[0]


async def open_texts(permit: CasePermit, crypto: Crypto, row: RowMapping, *, table: str) -> dict[str, str | None]:
    """Return the sealed texts of a death or of a request after one, by column."""
    columns = [column for column in row if column.endswith("_sealed")]
    keys = await crypto.data_keys.opening([row[column] for column in columns if row[column] is not None])
    texts: dict[str, str | None] = dict.fromkeys(columns)
    author = row["undone_by_account_id"] if table == "death" else row["recorded_by_account_id"]
    for column in columns:
        if (sealed := row[column]) is not None:
            texts[column] = open_text(
                keys[key_id_of(sealed)], sealed, _place(table, column, permit, row["id"], author)
            )
    return texts
