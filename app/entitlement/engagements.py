"""What changes with an engagement: every case it sits in, or stands in for, is derived again in the same commit."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.actor import Actor
from app.core.ids import CaseId
from app.entitlement import store
from app.entitlement.derivation import rederive
from app.events import service as events
from app.identity.offices import organisations


async def hold_cases_of(db: AsyncSession, engagement_ids: Collection[UUID]) -> list[CaseId]:
    """Lock every case of these people, in the one order, before a row of theirs is; return those cases.

    Whoever derives has a case and waits for its people; whoever changes people must not wait the other way round. It
    is every case of the person, because a session that ends raises the version of them all.
    """
    case_ids = list(await store.cases_of(db, await organisations.of_the_same_people(db, engagement_ids)))
    for case_id in case_ids:
        await store.lock_case(db, case_id)
    return case_ids


async def rederive_for(
    db: AsyncSession, engagement_ids: Collection[UUID], *, actor: Actor, why: str, now: datetime
) -> list[CaseId]:
    """Derive every case again that rests on one of these engagements; return those cases.

    Call it in the transaction that changed the period, suspension, confirmation, responsible professional, account,
    organisation or team of the engagements, after the change; add what it returns to ``ctx.moved``. ``why`` is a code
    for whoever gained or lost, as ``engagement-suspended``. The cases are locked in one order, and until commit.
    """
    case_ids = list(await store.cases_of(db, engagement_ids))
    for case_id in case_ids:
        await store.lock_case(db, case_id)
    for case_id in case_ids:
        drafts = (await rederive(db, case_id, now=now)).drafts(why)
        if drafts:
            await events.append(db, case_id, drafts, actor=actor, at=now)
    return case_ids
