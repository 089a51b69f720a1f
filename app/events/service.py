"""The case stream as others use it: append as the last statements of a transaction, claim a key before the effect."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.actor import Actor
from app.core.errors import Conflict
from app.core.ids import CaseId
from app.events import store
from app.events.drafts import Draft

KEY_KEPT = timedelta(hours=24)


class KeyReused(Conflict):
    """Raised when a key comes back with another body: one of the two is not what the client means."""

    code = "idempotency-key-reused"
    title = "The Idempotency-Key was used with another body"


async def open_stream(db: AsyncSession, case_id: CaseId) -> None:
    """Start the stream of a case that was just created."""
    await store.open_head(db, case_id)


async def append(
    db: AsyncSession, case_id: CaseId, drafts: Sequence[Draft], *, actor: Actor | None, at: datetime
) -> int:
    """Append events in the caller's transaction and return the last position.

    Call it last: it holds the case's head, and so every other writer of the case, until commit. ``actor`` is None for
    what time itself does.
    """
    return await store.append(
        db,
        case_id,
        drafts,
        account_id=actor.account_id if actor else None,
        engagement_id=actor.engagement_id if actor else None,
        at=at,
    )


async def earlier_resource(
    db: AsyncSession, actor: Actor, operation: str, key_digest: bytes, body_digest: bytes, *, at: datetime
) -> UUID | None:
    """Return the resource that an idempotency key made before, or None; a concurrent twin waits for the first.

    Raises:
        KeyReused: the key was used with another body.
    """
    earlier = await store.earlier(db, actor.account_id, operation, key_digest, stale_before=at - KEY_KEPT)
    if earlier is None:
        return None
    if earlier.body_digest != body_digest:
        raise KeyReused
    return earlier.resource_id


async def remember_key(
    db: AsyncSession,
    actor: Actor,
    operation: str,
    key_digest: bytes,
    body_digest: bytes,
    resource_id: UUID,
    *,
    at: datetime,
) -> None:
    """Remember, in the effect's own transaction, what a key made."""
    await store.remember(db, actor.account_id, operation, key_digest, body_digest, resource_id, at=at)
