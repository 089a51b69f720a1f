"""SQL of threads and their messages for role ``app``; row-level security leaves what one may read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, RolePermit, SelfPermit
from app.threads.model import AccessRequest, Thread

_THREAD = """
    select t.case_id, t.id, t.patient_id, t.category, t.domain, t.opened_by_engagement_id, t.opened_at, t.opened_seq,
           t.opened_by_account_id, t.release_at, t.release_reason, t.release_reason_sealed,
           e.id as event_id, e.body_sealed, e.actor_account_id
      from thread t left join case_event e on e.case_id = t.case_id and e.seq = t.opened_seq
"""

_MESSAGE = """
    select e.id, e.case_id, e.seq, e.type, e.at, e.thread_id, e.patient_id, e.category, e.domain, e.kind, e.refers_to,
           e.body_sealed, e.actor_account_id, e.actor_engagement_id, e.retracted_seq, e.superseded_seq
      from case_event e
"""


async def add(db: AsyncSession, permit: CasePermit, thread: Thread) -> None:
    """Insert a thread; its opening event, with the title, goes into the stream."""
    await db.execute(insert(Thread).values(thread.model_dump()))


async def listed(
    db: AsyncSession, permit: CasePermit, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the threads the actor may read, newest first; a title from before the actor's bound is absent."""
    statement = text(
        _THREAD
        + " where t.case_id = :case and (cast(:at as timestamptz) is null or (t.opened_at, t.id) < (:at, :last))"
        " order by t.opened_at desc, t.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"case": permit.case_id, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).mappings().all()


async def one(db: AsyncSession, permit: CasePermit, thread_id: UUID) -> RowMapping | None:
    """Return one thread of the permitted case."""
    statement = text(_THREAD + " where t.case_id = :case and t.id = :thread")
    return (await db.execute(statement, {"case": permit.case_id, "thread": thread_id})).mappings().first()


async def release(db: AsyncSession, permit: CasePermit, thread_id: UUID) -> bool:
    """Release a thread that is held back and tell of it in the stream; False when there is none to release."""
    statement = text("select * from release_thread(:case, :thread)")
    return (await db.execute(statement, {"case": permit.case_id, "thread": thread_id})).first() is not None


async def has_died(db: AsyncSession, permit: CasePermit, patient_id: UUID) -> bool:
    """Whether the death of a subject was recorded."""
    values = {"case": permit.case_id, "patient": patient_id}
    return bool((await db.execute(text("select has_died(:case, :patient)"), values)).scalar_one())


async def add_request(db: AsyncSession, permit: CasePermit, row: AccessRequest) -> None:
    """Insert a request for access."""
    await db.execute(insert(AccessRequest).values(row.model_dump()))


async def release_asked(db: AsyncSession, permit: CasePermit, request_id: UUID) -> Sequence[RowMapping]:
    """Release what is held back from whom a request of this transaction is about; return the threads."""
    statement = text("select * from release_asked(:case, :request)")
    return (await db.execute(statement, {"case": permit.case_id, "request": request_id})).mappings().all()


async def request(db: AsyncSession, permit: CasePermit, request_id: UUID) -> RowMapping | None:
    """Return a request for access, if the actor may see it."""
    columns = AccessRequest.__table__.c  # type: ignore[attr-defined]  # SQLModel's metaclass adds it
    statement = select(*columns).where(columns.case_id == permit.case_id, columns.id == request_id)
    return (await db.execute(statement)).mappings().first()


async def messages(
    db: AsyncSession, permit: CasePermit, thread_id: UUID, *, after_seq: int, limit: int
) -> Sequence[Row[Any]]:
    """Return up to ``limit`` messages after a position, oldest first."""
    statement = text(
        _MESSAGE + " where e.case_id = :case and e.thread_id = :thread and e.seq > :after"
        " and e.type in ('message.posted', 'message.corrected') order by e.seq limit :limit"
    )
    values = {"case": permit.case_id, "thread": thread_id, "after": after_seq, "limit": limit}
    return (await db.execute(statement, values)).all()


async def message(db: AsyncSession, permit: CasePermit, message_id: UUID) -> Row[Any] | None:
    """Return one message of the permitted case."""
    statement = text(_MESSAGE + " where e.case_id = :case and e.id = :message")
    return (await db.execute(statement, {"case": permit.case_id, "message": message_id})).first()


async def corrections(db: AsyncSession, permit: CasePermit, message_id: UUID) -> list[UUID]:
    """Return the corrections of a message, and theirs, that still stand, in the order they came."""
    statement = text(
        """
        with recursive version as (
            select id, seq from case_event where case_id = :case and refers_to = :id and type = 'message.corrected'
            union all
            select e.id, e.seq from case_event e join version v on e.refers_to = v.id
             where e.case_id = :case and e.type = 'message.corrected'
        )
        select v.id from version v join case_event e on e.id = v.id where e.retracted_seq is null order by v.seq
        """
    )
    return list((await db.execute(statement, {"case": permit.case_id, "id": message_id})).scalars().all())


async def mark(db: AsyncSession, permit: CasePermit, message_id: UUID, *, column: str, seq: int) -> int:
    """Mark the actor's own message as retracted or superseded by the event at ``seq``; return 0 or 1."""
    statement = {
        "retracted_seq": text(
            "update case_event set retracted_seq = :seq where case_id = :case and id = :id and retracted_seq is null"
        ),
        "superseded_seq": text(
            "update case_event set superseded_seq = :seq where case_id = :case and id = :id and retracted_seq is null"
        ),
    }[column]
    values = {"seq": seq, "case": permit.case_id, "id": message_id}
    return (await db.execute(statement, values)).rowcount  # type: ignore[attr-defined,no-any-return]  # cursor result


async def through_door(db: AsyncSession, door: str) -> None:
    """Say, for this transaction, by which door rows are read: ``contributions``, ``dossier`` or ``retracted``."""
    await db.execute(text("select set_config('app.door', :door, true)"), {"door": door})


async def contributions(
    db: AsyncSession, permit: SelfPermit, *, case_id: UUID | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row[Any]]:
    """Return what the actor wrote, newest first, whether or not its rights have ended."""
    statement = text(
        _MESSAGE + " where e.actor_account_id = :account and e.body_sealed is not null"
        " and (cast(:case as uuid) is null or e.case_id = :case)"
        " and (cast(:at as timestamptz) is null or (e.at, e.id) < (:at, :last))"
        " order by e.at desc, e.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {
        "account": permit.actor.account_id,
        "case": case_id,
        "at": at,
        "last": last or UUID(int=0),
        "limit": limit,
    }
    return (await db.execute(statement, values)).all()


async def dossier(
    db: AsyncSession, permit: RolePermit, *, case_id: UUID | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Row[Any]]:
    """Return what the people of the actor's organisation wrote, newest first; nothing to who keeps no dossiers."""
    statement = text(
        _MESSAGE + " where e.type in ('message.posted', 'message.corrected') and keeps_dossier(e.actor_engagement_id)"
        " and (cast(:case as uuid) is null or e.case_id = :case)"
        " and (cast(:at as timestamptz) is null or (e.at, e.id) < (:at, :last))"
        " order by e.at desc, e.id desc limit :limit"
    )
    at, last = before or (None, None)
    values = {"case": case_id, "at": at, "last": last or UUID(int=0), "limit": limit}
    return (await db.execute(statement, values)).all()
