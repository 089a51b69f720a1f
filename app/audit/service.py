"""The audit log as others use it: write a record with its effect, and read the log (which is itself an access)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.audit import store
from app.audit.records import Record
from app.audit.store import Search

__all__ = ["Search", "record", "search"]


async def record(db: AsyncSession, records: Sequence[Record], *, at: datetime, source: str) -> None:
    """Write records in the caller's transaction: without them there is no effect, and no effect without them."""
    if records:
        await store.add(db, records, at=at, source=source)


async def search(
    db: AsyncSession, permit: RolePermit, wanted: Search, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return records, newest first, without any content: the log holds none."""
    return await store.search(db, permit, wanted, before=before, limit=limit)
