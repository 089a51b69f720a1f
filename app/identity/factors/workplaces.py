"""Registered workplaces: computers of an organisation where the screen locks soon and one factor opens it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.errors import NotFound
from app.crypto.digests import Digests, random_token
from app.identity.factors import store
from app.identity.factors.model import Workplace

NAME_CHARS_MAX = 100


@dataclass(frozen=True, slots=True)
class WorkplaceInfo:
    """A registered workplace."""

    id: UUID
    name: str
    created_at: datetime


async def register(
    db: AsyncSession, permit: RolePermit, digests: Digests, *, name: str, workplace_id: UUID
) -> tuple[WorkplaceInfo, str]:
    """Register a workplace of the actor's organisation and return it with its key, which is shown once."""
    organisation = permit.actor.organisation_id
    if organisation is None:
        raise NotFound
    key = random_token()
    row = Workplace(
        id=workplace_id,
        organisation_id=organisation,
        name=name,
        digest=workplace_digest(digests, key),
        created_by_engagement_id=permit.actor.engagement_id,
        created_at=permit.now,
    )
    await store.add_workplace(db, permit, row)
    return WorkplaceInfo(row.id, row.name, row.created_at), key


async def list_workplaces(db: AsyncSession, permit: RolePermit) -> list[WorkplaceInfo]:
    """Return the registered workplaces of the actor's organisation, newest first."""
    return [WorkplaceInfo(**row) for row in await store.workplaces(db, permit)]


async def end(db: AsyncSession, permit: RolePermit, workplace_id: UUID) -> Sequence[UUID]:
    """End a workplace: its key opens nothing more, and its sessions, which are returned, have ended.

    Raises:
        NotFound: the actor's organisation has no such workplace.
    """
    ended = await store.end_workplace(db, permit, workplace_id)
    if ended is None:
        raise NotFound
    return ended


def workplace_digest(digests: Digests, key: str) -> bytes:
    """Return what is kept of a workplace's key."""
    return digests.digest("workplace", key.encode("utf-8", "surrogatepass"))
