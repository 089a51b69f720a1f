"""What surrounds a change of something that the grants of a case rest on, or that stands on the same rows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import CasePermit
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
