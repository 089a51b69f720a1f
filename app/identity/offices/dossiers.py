"""Dossier keepers: who reads what an organisation's people wrote, when those have gone.

Source: DESIGN 5; DOMAIN R-19, R-27.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.identity.offices import organisations, store

KEEPERS_MAX = 5


class KeepersFull(Conflict):
    """Raised when an organisation has five dossier keepers: they are few, and known by name."""

    code = "dossier-keepers-full"
    title = "There are as many dossier keepers as there may be"


class AlreadyKeeper(Conflict):
    """Raised when somebody is named who is a dossier keeper."""

    code = "already-dossier-keeper"
    title = "This person keeps the dossiers already"


async def listed(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> Sequence[RowMapping]:
    """Return the keepers of an organisation, first named first; of one that is not the actor's there are none."""
    return await store.keepers(db, permit, organisation_id)


async def require_keeper(db: AsyncSession, permit: RolePermit) -> None:
    """Let only a dossier keeper of the actor's organisation pass.

    Raises:
        Forbidden: the actor is none.
    """
    organisation = permit.actor.organisation_id
    present = await store.keepers(db, permit, organisation) if organisation else []
    if permit.actor.engagement_id not in {row["engagement_id"] for row in present}:
        raise Forbidden("Only the dossier keepers of your organisation read what others wrote.")


async def name(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> None:
    """Name a keeper.

    Raises:
        NotFound: the actor does not administer such an organisation.
        AlreadyKeeper, KeepersFull: see there.
        Invalid: it is not a professional's engagement in force with that organisation.
    """
    await organisations.read(db, permit, organisation_id)
    present = [row["engagement_id"] for row in await store.keepers(db, permit, organisation_id)]
    if engagement_id in present:
        raise AlreadyKeeper
    if len(present) >= KEEPERS_MAX:
        raise KeepersFull
    if not await store.may_keep(db, permit, organisation_id, engagement_id):
        raise Invalid(Fault("/engagementId", "not-found", "There is no such professional in the organisation."))
    await store.add_keeper(db, permit, organisation_id, engagement_id)


async def end(db: AsyncSession, permit: RolePermit, organisation_id: UUID, engagement_id: UUID) -> None:
    """Let somebody keep no longer.

    Raises:
        NotFound: the actor administers no organisation with such a keeper.
    """
    if not await store.remove_keeper(db, permit, organisation_id, engagement_id):
        raise NotFound
