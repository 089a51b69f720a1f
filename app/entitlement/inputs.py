"""What surrounds a change of something that the grants of a case rest on, or that stands on the same rows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
from app.core.ids import CaseId
from app.entitlement import store
from app.entitlement.derivation import rederive
from app.events import service as events


@asynccontextmanager
async def changing(db: AsyncSession, permit: CasePermit, why: str) -> AsyncIterator[None]:
    """Hold the permitted case while its inputs are changed, then derive again and tell whom that changed what."""
    await store.lock_case(db, permit.case_id)
    yield
    change = await rederive(db, permit.case_id, now=permit.now)
    drafts = change.drafts(why)
    if drafts:
        await events.append(db, permit.case_id, drafts, actor=permit.actor, at=permit.now)


@asynccontextmanager
async def changing_everywhere(
    db: AsyncSession, permit: CasePermit, patient_id: UUID, why: str
) -> AsyncIterator[Sequence[CaseId]]:
    """Hold every case about one person while what counts in all of them is changed; yield them, then derive and tell.

    In other cases nobody is said to have done it: who is meant there does not learn where it was done.
    """
    cases = await store.hold_person(db, permit.case_id, patient_id)
    yield cases
    changes = [(case_id, (await rederive(db, case_id, now=permit.now)).drafts(why)) for case_id in cases]
    for case_id, drafts in changes:
        if drafts:
            actor = permit.actor if case_id == permit.case_id else None
            await events.append(db, case_id, drafts, actor=actor, at=permit.now)
