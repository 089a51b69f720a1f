"""Threads and messages: open, read, correct, retract, and what one wrote oneself. Posting is the appender's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, Cell, RolePermit, SelfPermit
from app.access.vocabulary import Category, Domain
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import EngagementId, EventId, MessageId, PatientId, ThreadId, new_id
from app.crypto.service import Crypto
from app.events import service as events
from app.events.bodies import open_bodies, seal_body
from app.events.drafts import Draft, EventType, holders_of
from app.threads import store
from app.threads.model import Thread
from app.threads.releases import service as releases
from app.threads.releases.service import Hold


class AlreadyRetracted(Conflict):
    """Raised by retracting or correcting what was retracted before."""

    code = "message-already-retracted"
    title = "The message was retracted already"


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread; ``title`` is None when it was given before the reader's bound, ``hold`` when it never waited."""

    id: ThreadId
    patient_id: PatientId
    category: Category
    domain: Domain
    title: str | None
    opened_by: EngagementId
    opened_at: datetime
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """A message; ``status`` is posted, superseded, correction or retracted (then only its author sees it)."""

    id: MessageId
    case_id: UUID
    thread_id: ThreadId | None
    category: Category
    domain: Domain
    patient_id: PatientId
    author: EngagementId
    text: str
    kind: str
    at: datetime
    status: str
    corrects: MessageId | None
    seq: int


async def open_thread(
    db: AsyncSession,
    permit: CasePermit,
    crypto: Crypto,
    *,
    thread_id: ThreadId,
    patient_id: PatientId,
    category: Category,
    title: str,
    hold: Hold | None = None,
) -> None:
    """Open a thread in the actor's own domain; a citizen's has the domain of the engagement that opened the case.

    With ``hold`` it is there for professionals alone until then.

    Raises:
        Invalid: the case is not about that patient, or it would be held back for too long.
        Forbidden: the actor may not write this category in its own domain, or hold anything back.
    """
    standing = permit.standing
    known = {subject for subject in standing.subjects if standing.holds_any(permit.now, subject)}
    # Only who sees every subject is told that a patient is none: to others it would tell whom the case is about.
    wrong = [] if hold is None else releases.faults_of(permit, hold)
    if patient_id not in standing.subjects and len(known) == len(standing.subjects):
        wrong.append(Fault("/patientId", "not-a-subject", "This case is not about that patient."))
    if wrong:
        raise Invalid(*wrong)
    domain = permit.actor.domain or standing.domain
    cell = Cell(patient_id, category, domain)
    if standing.holding(cell, permit.now, write=True, opened_seq=None) is None:
        raise Forbidden("You may not open a thread in this category.")
    event_id = EventId(new_id())
    author = permit.actor.account_id
    body = await seal_body(
        crypto.data_keys, title, event_id=event_id, case_id=permit.case_id, category=category, author=author
    )
    draft = Draft(
        id=event_id,
        type=EventType.THREAD_OPENED,
        audience=holders_of(cell),
        thread_id=thread_id,
        body=body,
        data={"id": str(thread_id)},
    )
    held = {} if hold is None else await releases.columns_of(crypto, permit, thread_id, category, hold)
    seq = await events.append(db, permit.case_id, [draft], actor=permit.actor, at=permit.now)
    await store.add(
        db,
        permit,
        Thread(
            case_id=permit.case_id,
            id=thread_id,
            patient_id=patient_id,
            category=category,
            domain=domain,
            opened_seq=seq,
            opened_by_account_id=author,
            opened_by_engagement_id=permit.actor.engagement_id,
            opened_at=permit.now,
            **held,
        ),
    )


async def threads(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[ThreadInfo]:
    """Return the threads of the case that the actor may read, newest first."""
    return await _threads(crypto, await store.listed(db, permit, before=before, limit=limit))


async def thread(db: AsyncSession, permit: CasePermit, crypto: Crypto, thread_id: UUID) -> ThreadInfo:
    """Return one thread.

    Raises:
        NotFound: there is none that the actor may read.
    """
    row = await store.one(db, permit, thread_id)
    if row is None:
        raise NotFound
    return (await _threads(crypto, [row]))[0]


async def _threads(crypto: Crypto, rows: Sequence[RowMapping]) -> list[ThreadInfo]:
    titles = await open_bodies(
        crypto.data_keys,
        [SimpleNamespace(**{**row, "id": row["event_id"]}) for row in rows if row["event_id"] is not None],
    )
    holds = await releases.holds_of(crypto, rows)
    return [
        ThreadInfo(
            id=row["id"],
            patient_id=row["patient_id"],
            category=Category(row["category"]),
            domain=Domain(row["domain"]),
            title=titles.get(row["event_id"]),
            opened_by=row["opened_by_engagement_id"],
            opened_at=row["opened_at"],
            hold=holds.get(row["id"]),
        )
        for row in rows
    ]


async def messages(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, thread_id: UUID, *, after_seq: int, limit: int
) -> list[MessageInfo]:
    """Return messages after a position of the stream, oldest first."""
    rows = await store.messages(db, permit, thread_id, after_seq=after_seq, limit=limit)
    return await _messages(crypto, rows)


async def message(db: AsyncSession, permit: CasePermit, crypto: Crypto, message_id: UUID) -> MessageInfo:
    """Return one message.

    Raises:
        NotFound: there is none that the actor may read.
    """
    if permit.standing.entity.retracted and permit.standing.entity.author_id != permit.actor.account_id:
        await store.through_door(db, "retracted")
    row = await store.message(db, permit, message_id)
    if row is None:
        raise NotFound
    return (await _messages(crypto, [row]))[0]


async def _messages(crypto: Crypto, rows: Sequence[Row[Any]]) -> list[MessageInfo]:
    texts = await open_bodies(crypto.data_keys, rows)
    return [_message(row, texts) for row in rows]


def _message(row: Row[Any], texts: Mapping[UUID, str]) -> MessageInfo:
    status = "correction" if row.type == EventType.MESSAGE_CORRECTED else "posted"
    if row.superseded_seq is not None:
        status = "superseded"
    if row.retracted_seq is not None:
        status = "retracted"
    return MessageInfo(
        id=row.id,
        case_id=row.case_id,
        thread_id=row.thread_id,
        category=Category(row.category),
        domain=Domain(row.domain),
        patient_id=row.patient_id,
        author=row.actor_engagement_id,
        text=texts[row.id],
        kind=row.kind or "message",
        at=row.at,
        status=status,
        corrects=row.refers_to if row.type == EventType.MESSAGE_CORRECTED else None,
        seq=row.seq,
    )


async def correct(
    db: AsyncSession, permit: CasePermit, crypto: Crypto, message_id: UUID, *, correction_id: EventId, text: str
) -> None:
    """Add a correction to the actor's own message; the old text stays visible as superseded (DOMAIN R-24).

    Raises:
        AlreadyRetracted: the message was retracted.
    """
    entity = permit.standing.entity
    if entity.cell is None or entity.thread_id is None:
        raise NotFound
    body = await seal_body(
        crypto.data_keys,
        text,
        event_id=correction_id,
        case_id=permit.case_id,
        category=entity.cell.category,
        author=permit.actor.account_id,
    )
    draft = Draft(
        id=correction_id,
        type=EventType.MESSAGE_CORRECTED,
        audience=holders_of(entity.cell),
        thread_id=entity.thread_id,
        refers_to=message_id,
        body=body,
    )
    seq = await events.append(db, permit.case_id, [draft], actor=permit.actor, at=permit.now)
    if not await store.mark(db, permit, message_id, column="superseded_seq", seq=seq):
        raise AlreadyRetracted


async def retract(db: AsyncSession, permit: CasePermit, message_id: UUID, *, reason: str) -> Sequence[UUID]:
    """Retract the actor's own message: gone at once for everybody else, with a tombstone in the stream.

    Its corrections go with it: what was said in the wrong place was said there in every version.

    Returns:
        Everything that was retracted, the message first.

    Raises:
        AlreadyRetracted: it was retracted before.
    """
    entity = permit.standing.entity
    if entity.cell is None:
        raise NotFound
    await _bury(db, permit, entity.cell, message_id, reason)
    # Looked for only now that the stream's head is ours: a correction that came in between is among them.
    corrections = await store.corrections(db, permit, message_id)
    for correction in corrections:
        await _bury(db, permit, entity.cell, correction, reason)
    return [message_id, *corrections]


async def _bury(db: AsyncSession, permit: CasePermit, cell: Cell, message_id: UUID, reason: str) -> None:
    thread_id = permit.standing.entity.thread_id
    draft = Draft(
        type=EventType.MESSAGE_RETRACTED,
        audience=holders_of(cell),
        thread_id=thread_id,
        refers_to=message_id,
        data={"id": str(message_id), "threadId": str(thread_id), "reason": reason},
    )
    seq = await events.append(db, permit.case_id, [draft], actor=permit.actor, at=permit.now)
    if not await store.mark(db, permit, message_id, column="retracted_seq", seq=seq):
        raise AlreadyRetracted


async def contributions(
    db: AsyncSession,
    permit: SelfPermit,
    crypto: Crypto,
    *,
    case_id: UUID | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[MessageInfo]:
    """Return what the actor wrote, newest first, also after its rights ended (ground ``author``)."""
    await store.through_door(db, "contributions")
    rows = await store.contributions(db, permit, case_id=case_id, before=before, limit=limit)
    return await _messages(crypto, rows)


async def dossier(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    *,
    case_id: UUID | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[MessageInfo]:
    """Return what the organisation's people wrote, newest first, to who keeps its dossiers (ground ``author``)."""
    await store.through_door(db, "dossier")
    rows = await store.dossier(db, permit, case_id=case_id, before=before, limit=limit)
    return await _messages(crypto, rows)
