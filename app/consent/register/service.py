"""The register of consents: what was agreed in the whole region, without names and without anything that was said."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.consent.register import store
from app.consent.register.store import Wanted

__all__ = ["Wanted", "register"]


async def register(
    db: AsyncSession, permit: RolePermit, wanted: Wanted, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return consents of the region, newest first."""
    await store.through_door(db)
    return await store.page(db, permit, wanted, before=before, limit=limit)
