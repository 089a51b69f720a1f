"""Telling people that something happened, and what they do with it.

Whoever changes something tells of it in the same transaction. Whether a citizen reads it in an account, by letter or
hears it in person is decided when it is read: an account linked since then, or *veilig contact*, counts at once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit, SelfPermit
from app.core.errors import NotFound
from app.core.ids import CaseId
from app.notices import store
from app.notices.kinds import Channel, Citizen, Engaged, Managers, NoticeKind, PrivacyOfficers, To
from app.notices.letters import LETTERS


async def notify(
    db: AsyncSession,
    *,
    case_id: CaseId | None,
    to: To,
    kind: NoticeKind,
    about: UUID,
    now: datetime,
    not_before: datetime | None = None,
) -> None:
    """Tell somebody that something happened to the thing ``about``, in the caller's transaction.

    The same kind about the same thing is told once to each. Nobody sees it before ``not_before``. A citizen is told
    of a case, as is its manager.
    """
    whom: UUID | None = None
    match to:
        case Citizen(patient_id=patient_id):
            name, whom = "citizen", patient_id
        case Engaged(engagement_id=engagement_id, always=True):
            name, whom = "always", engagement_id
        case Engaged(engagement_id=engagement_id):
            name, whom = "engaged", engagement_id
        case Managers(patient_id=concerned):
            name, whom = "managers", concerned
        case PrivacyOfficers():
            name = "privacy-officers"
        case _:
            assert_never(to)
    await store.add(
        db, kind=kind, case_id=case_id, to=name, whom=whom, about=about, not_before=max(not_before or now, now)
    )


async def end_about(db: AsyncSession, about: UUID, kinds: Collection[NoticeKind] | None = None) -> int:
    """Take back what was not read yet about a thing, of these kinds or of all; return how many that were."""
    return await store.end(db, about=about, kinds=kinds)


async def end_to_citizen(db: AsyncSession, case_id: CaseId, patient_id: UUID) -> int:
    """Take back what a citizen of a case was not told yet, letters included; return how many that were."""
    return await store.end(db, case_id=case_id, patient_id=patient_id)


async def listed(
    db: AsyncSession, permit: SelfPermit, *, unread: bool, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return what the actor is told, and, who manages a case, what goes to the citizen otherwise."""
    return await store.listed(db, permit, unread=unread, before=before, limit=limit)


async def find(db: AsyncSession, permit: SelfPermit, notice_id: UUID) -> RowMapping:
    """Return one of the actor's notices.

    Raises:
        NotFound: there is none that the actor may read.
    """
    row = await store.one(db, permit, notice_id)
    if row is None:
        raise NotFound
    return row


async def mark_read(db: AsyncSession, permit: SelfPermit, notice_id: UUID) -> RowMapping:
    """Note that a notice was read, its letter sent or its citizen told; the first time stands.

    Raises:
        NotFound: there is none that the actor may read.
    """
    await find(db, permit, notice_id)
    await store.mark_read(db, permit, notice_id)
    return await find(db, permit, notice_id)


async def mark_own_read(db: AsyncSession, permit: CasePermit, about: UUID, kind: NoticeKind) -> None:
    """Note that the actor knows what they were told about a thing: they acted on it. What others are told stays."""
    await store.mark_own_read(db, permit, about, kind)


async def letter(db: AsyncSession, permit: SelfPermit, notice_id: UUID) -> tuple[RowMapping, str]:
    """Return a notice that goes out as a letter, and its text.

    Raises:
        NotFound: there is none that the actor may read, or it goes by no letter.
    """
    row = await find(db, permit, notice_id)
    if row["channel"] != Channel.LETTER or NoticeKind(row["kind"]) not in LETTERS:
        raise NotFound
    return row, LETTERS[NoticeKind(row["kind"])]
