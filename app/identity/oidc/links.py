"""Identities elsewhere that are linked to an account: by whoever proved both, and never the last way in away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.actor import Actor
from app.access.policy import SelfPermit
from app.access.refusals import StepUpNeeded
from app.access.tables import FRESH_SECONDS
from app.access.vocabulary import Acr
from app.core.errors import NotFound
from app.core.ids import new_id
from app.core.providers import OidcProvider
from app.crypto.digests import Digests
from app.identity import store as identity_store
from app.identity.factors.own import LastWayIn
from app.identity.oidc import store
from app.identity.oidc.client import Providers
from app.identity.oidc.derived import subject_digest
from app.identity.oidc.refusals import IdentityTaken, NotForThisRole
from app.identity.oidc.rules import Proof, roles_for
from app.identity.service import Entered, SessionEnded, hold_factors


@dataclass(frozen=True, slots=True)
class IdentityInfo:
    """An identity of one's own. ``provider`` is the configured one of that issuer, if it is still there."""

    id: UUID
    issuer: str
    provider: str | None
    linked_at: datetime


def require_may_link(actor: Actor, *, now: datetime) -> None:
    """Let link whoever is setting up factors with a one-time code, or showed two just now.

    A session that was left open must not be enough to give somebody else a way in for good.

    Raises:
        StepUpNeeded: neither.
    """
    if actor.acr is Acr.ENROLMENT:
        return
    recent = now < actor.authenticated_at + timedelta(seconds=FRESH_SECONDS)
    if actor.acr not in {Acr.TWO_FACTOR, Acr.DEMO} or not recent:
        raise StepUpNeeded


async def require_audience(db: AsyncSession, actor: Actor, provider: OidcProvider, *, now: datetime) -> None:
    """Refuse linking with a provider that would never let this account in.

    Raises:
        NotForThisRole: none of its engagements is of the kind that the provider is for.
    """
    if await store.engagement_for(db, actor.account_id, roles_for(provider.audience), now) is None:
        raise NotForThisRole


async def link(db: AsyncSession, digests: Digests, entered: Entered, proof: Proof) -> UUID:
    """Link a proven identity to whoever entered the transaction and return its id; again changes nothing.

    Raises:
        SessionEnded: it did meanwhile, or the screen was locked.
        IdentityTaken: the identity is another account's.
    """
    if entered.actor.locked:
        raise SessionEnded
    await hold_factors(db, entered.actor)
    digest = subject_digest(digests, proof.issuer, proof.subject)
    identity_id = new_id()
    account_id = entered.actor.account_id
    linked = await store.link(
        db,
        identity_id=identity_id,
        issuer=proof.issuer,
        subject_digest=digest,
        account_id=account_id,
        now=entered.now,
    )
    if linked:
        return identity_id
    found = await store.find(db, proof.issuer, digest)
    if found is None or found["account_id"] != account_id:
        raise IdentityTaken
    known: UUID = found["id"]
    return known


async def own_identities(db: AsyncSession, providers: Providers, permit: SelfPermit) -> list[IdentityInfo]:
    """Return the actor's own identities, oldest first."""
    keys = {provider.issuer: provider.key for provider in providers.all}
    return [
        IdentityInfo(row["id"], row["issuer"], keys.get(row["issuer"]), row["linked_at"])
        for row in await store.own(db, permit)
    ]


async def unlink(db: AsyncSession, permit: SelfPermit, identity_id: UUID) -> Sequence[UUID]:
    """Unlink an identity of the actor's and end the sessions that rest on it, but for the present one.

    Raises:
        NotFound: the actor has no such identity.
        LastWayIn: there is no other way in.
    """
    await hold_factors(db, permit.actor)
    sessions = await store.unlink(db, permit, identity_id)
    if sessions is None:
        raise NotFound
    if not await store.can_log_in(db, permit):
        raise LastWayIn
    ended = [session for session in sessions if session != permit.actor.login_session_id]
    if not ended:
        return []
    return await identity_store.end_sessions(db, permit.actor.account_id, ended, "unlinked", permit.now)
