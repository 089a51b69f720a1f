"""What a citizen says beside a message or a consent record: an addition, never an edit.

Whoever reads the record reads the statement. A later one of the same speaker supersedes the earlier, which stays
visible. Source: DOMAIN R-24; ADR 0011.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.access.vocabulary import PROFESSIONALS, Category
from app.consent import service as consents
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import EngagementId, PatientId
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.events import service as events
from app.events.drafts import Audience, Draft, EventType, holders_of, only
from app.notices.kinds import Citizen, NoticeKind
from app.notices.service import notify
from app.threads.statements import store
from app.threads.statements.model import Statement

PATIENT, REPRESENTATIVE = "patient", "representative"
STATEMENTS_MAX = 20
"""How many statements stand beside one record: they are shown with it, each time."""


class RecordRetracted(Conflict):
    """Raised by a statement beside what was taken back: nobody is shown that any more."""

    code = "record-retracted"
    title = "The message was retracted"


class RecordHeldBack(Conflict):
    """Raised by a statement beside what the citizen is not shown yet: nobody says something of that."""

    code = "record-held-back"
    title = "The message is held back from the citizen"


class TooManyStatements(Conflict):
    """Raised by a statement more than a record takes: it is shown with all of them."""

    code = "too-many-statements"
    title = "There is no room for another statement beside this record"


@dataclass(frozen=True, slots=True)
class StatementInfo:
    """A statement; ``about_id`` is the message or consent that it stands beside."""

    id: UUID
    about_id: UUID
    patient_id: PatientId
    text: str
    stated_by: str
    method: str
    recorded_by: EngagementId
    recorded_at: datetime
    superseded: bool


@dataclass(frozen=True, slots=True)
class _Beside:
    """The record: a message with its thread, or a consent."""

    patient_id: PatientId
    category: Category
    audience: Audience
    message_id: UUID | None = None
    consent_id: UUID | None = None
    thread_id: Any = None


async def state(
    db: AsyncSession,
    permit: CasePermit,
    crypto: Crypto,
    record_id: UUID,
    *,
    statement_id: UUID,
    text: str,
    on_word_of: str | None,
) -> PatientId:
    """Add a statement beside the permitted message or consent, and return whom it is about.

    A citizen or representative speaks in their own log-in; a professional records what the citizen said
    (``on_word_of``), which is confirmed to the citizen.

    Raises:
        Forbidden: it is not the actor's to say: a professional's own word, or beside what is about somebody else.
        Invalid: the one it is about has died, or the actor names another's word.
        RecordRetracted: the message was taken back.
        RecordHeldBack: the citizen is not shown the message yet, and the confirmation would tell of it.
        TooManyStatements: there are so many already.
    """
    beside = await _beside(db, permit, record_id)
    stated_by = _speaker(permit, beside.patient_id, on_word_of)
    if await store.has_died(db, permit, beside.patient_id):
        raise Invalid(Fault("", "died", "Nobody speaks for the dead here (R-25)."))
    if len(await store.beside(db, permit, [record_id])) >= STATEMENTS_MAX:
        raise TooManyStatements
    oral = not permit.standing.speaks_for
    place = _place(statement_id, permit.case_id, beside.category, permit.actor.account_id)
    key = await crypto.data_keys.sealing(permit.case_id, beside.category)
    about = {"type": "message" if beside.message_id else "consent", "id": str(record_id)}
    draft = Draft(
        type=EventType.STATEMENT_ADDED,
        audience=beside.audience,
        thread_id=beside.thread_id,
        patient_id=beside.patient_id,
        refers_to=beside.message_id,
        data={"id": str(statement_id), "about": about},
    )
    if oral:
        await notify(
            db,
            case_id=permit.case_id,
            to=Citizen(beside.patient_id),
            kind=NoticeKind.ORAL_CONFIRMATION,
            about=statement_id,
            now=permit.now,
        )
    seq = await events.append(db, permit.case_id, [draft], actor=permit.actor, at=permit.now)
    row = Statement(
        case_id=permit.case_id,
        id=statement_id,
        seq=seq,
        patient_id=beside.patient_id,
        message_id=beside.message_id,
        consent_id=beside.consent_id,
        category=beside.category,
        text_sealed=seal_text(key, text, place),
        stated_by=stated_by,
        method="oral_recorded" if oral else "digital_2fa",
        recorded_by_account_id=permit.actor.account_id,
        recorded_by_engagement_id=permit.actor.engagement_id,
        recorded_at=permit.now,
    )
    await store.add(db, permit, row)
    return beside.patient_id


def _speaker(permit: CasePermit, patient_id: PatientId, on_word_of: str | None) -> str:
    standing = permit.standing
    if not standing.sits:
        raise Forbidden
    if not standing.speaks_for and permit.actor.role in PROFESSIONALS:
        if on_word_of is None:
            raise Forbidden("What stands beside a record is the citizen's: say that it is on their word.")
        return PATIENT
    if patient_id not in standing.speaks_for:
        raise Forbidden("Each person speaks for themselves.")
    if on_word_of is not None:
        raise Invalid(Fault("/onWordOf", "not-yours", "You speak for yourself, or whom you represent."))
    return PATIENT if patient_id in standing.subject_of else REPRESENTATIVE


async def _beside(db: AsyncSession, permit: CasePermit, record_id: UUID) -> _Beside:
    entity = permit.standing.entity
    if entity.cell is not None:
        if entity.retracted:
            raise RecordRetracted
        if entity.held_until is not None and permit.now < entity.held_until:
            raise RecordHeldBack
        cell = entity.cell
        return _Beside(
            cell.patient_id, cell.category, holders_of(cell), message_id=record_id, thread_id=entity.thread_id
        )
    row = await consents.find(db, permit, record_id)
    told = await store.told_of_consent(db, permit, record_id)
    audience = only(*(EngagementId(one) for one in {*told, permit.actor.engagement_id}))
    # As the reasons of a consent: who reads the record is not asked for a category.
    return _Beside(PatientId(row["patient_id"]), Category.PLAN_GOALS_ACTIONS, audience, consent_id=record_id)


async def beside(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, records: Collection[UUID]
) -> Sequence[StatementInfo]:
    """Return what stands beside these messages and consents and the actor may read, oldest first."""
    if not records:
        return []
    rows = await store.beside(db, permit, records)
    keys = await crypto.data_keys.opening(row["text_sealed"] for row in rows)
    return [_info(row, open_text(keys[key_id_of(row["text_sealed"])], row["text_sealed"], _of(row))) for row in rows]


async def find(db: AsyncSession, permit: CasePermit, crypto: Crypto, statement_id: UUID) -> StatementInfo:
    """Return one statement.

    Raises:
        NotFound: there is none that the actor may read.
    """
    record_id = await store.record_of(db, permit, statement_id)
    if record_id is None:
        raise NotFound
    return next(one for one in await beside(db, permit, crypto, [record_id]) if one.id == statement_id)


def _info(row: RowMapping, text: str) -> StatementInfo:
    return StatementInfo(
        id=row["id"],
        about_id=row["about_id"],
        patient_id=PatientId(row["patient_id"]),
        text=text,
        stated_by=row["stated_by"],
        method=row["method"],
        recorded_by=EngagementId(row["recorded_by_engagement_id"]),
        recorded_at=row["recorded_at"],
        superseded=row["superseded"],
    )


def _of(row: RowMapping) -> Place:
    return _place(row["id"], row["case_id"], Category(row["category"]), row["recorded_by_account_id"])


def _place(statement_id: UUID, case_id: UUID, category: Category, author: UUID) -> Place:
    return Place("statement", "text_sealed", statement_id, case_id, category, author)
