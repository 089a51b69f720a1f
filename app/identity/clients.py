"""Integrations as their managers see them: registered, changed, suspended. A change ends a client's sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.access.vocabulary import ClientScope, Role
from app.core.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from app.core.ids import AccountId, EngagementId, OrganisationId, new_id
from app.crypto.sealing import seal_text
from app.crypto.service import Crypto
from app.identity import client_store, store
from app.identity.directory import NAME_CATEGORY, name_place
from app.identity.fetching import FetchRefused, KeySets
from app.identity.keysets import PublicKey

TOKEN_SECONDS_MAX = 600
RATE_MAX = 1000

FOR_THE_REGION = frozenset({ClientScope.AUDIT_READ})
"""Scopes that only a region admin gives, and whose clients only a region admin changes: they read the log."""


class AlreadySo(Conflict):
    """The client is suspended, or active, already."""

    code = "client-status-unchanged"
    title = "The client has this status already"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client may do, and with which keys: by value, or at an address."""

    scopes: frozenset[ClientScope]
    jwks: Sequence[PublicKey] | None
    jwks_url: str | None
    token_seconds: int
    rate: int
    dpop_required: bool

    def values(self) -> dict[str, object]:
        """Return the columns that hold this."""
        return {
            "scopes": sorted(self.scopes),
            "jwks": client_store.as_json(self.jwks),
            "jwks_url": self.jwks_url,
            "token_seconds": self.token_seconds,
            "rate": self.rate,
            "dpop_required": self.dpop_required,
        }


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """A client as its managers see it; its id is its account's, and its ``client_id``."""

    id: AccountId
    engagement_id: EngagementId
    organisation_id: OrganisationId
    status: str
    created_at: datetime
    terms: Terms

    def version(self) -> bytes:
        """Return what an ETag of it is taken of."""
        return orjson.dumps([str(self.id), self.status, self.terms.values()])


async def register(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    client_id: UUID,
    *,
    name: str,
    organisation_id: UUID,
    terms: Terms,
) -> None:
    """Register a client of an organisation that the actor manages.

    Raises:
        Forbidden: another organisation's, or a scope that the region gives.
        Invalid: there is no such organisation in force.
    """
    if not await client_store.administers(db, permit, organisation_id):
        raise Forbidden
    _require_given(permit, terms.scopes)
    if not await client_store.is_active(db, permit, organisation_id):
        raise Invalid(Fault("/organisationId", "unknown-value", "There is no such organisation in force."))
    account_id = AccountId(client_id)
    key = await crypto.data_keys.sealing(account_id, NAME_CATEGORY)
    await client_store.add(
        db,
        permit,
        organisation_id=organisation_id,
        name_sealed=seal_text(key, name, name_place(account_id)),
        values={**terms.values(), "id": account_id, "engagement_id": new_id()},
    )


async def organisation_name(db: AsyncSession, permit: RolePermit, organisation_id: OrganisationId) -> str:
    """Return what an organisation is called."""
    return await client_store.organisation_name(db, permit, organisation_id)


async def list_clients(db: AsyncSession, permit: RolePermit) -> list[ClientInfo]:
    """Return the clients that the actor manages, oldest first."""
    return [_info(dict(row)) for row in await client_store.clients(db, permit)]


async def read_client(db: AsyncSession, permit: RolePermit, client_id: UUID) -> ClientInfo:
    """Return a client that the actor manages.

    Raises:
        NotFound: there is none.
    """
    row = await client_store.client(db, permit, client_id)
    if row is None:
        raise NotFound
    return _info(dict(row))


async def lock_client(db: AsyncSession, permit: RolePermit, client_id: UUID) -> ClientInfo:
    """Return a client to change; it changes for nobody else until the transaction ends.

    Raises:
        NotFound: there is none that the actor sees.
        Forbidden: the actor sees it, but the region gave it what no organisation gives.
    """
    await read_client(db, permit, client_id)
    if not await client_store.lock(db, permit, client_id):
        raise Forbidden
    return await read_client(db, permit, client_id)


async def change(db: AsyncSession, permit: RolePermit, client: ClientInfo, terms: Terms) -> Sequence[UUID]:
    """Give a locked client other terms; return the sessions that ended, for they stood on the old ones.

    Raises:
        Forbidden: a scope that the region gives.
    """
    _require_given(permit, terms.scopes)
    if terms == client.terms:
        return []
    await client_store.change(db, permit, client.id, terms.values())
    return await store.end_sessions(db, client.id, None, "client-changed", permit.now)


async def suspend(db: AsyncSession, permit: RolePermit, client_id: UUID) -> Sequence[UUID]:
    """Suspend a client: its tokens fail at the next request, and it gets no others. Return its ended sessions.

    Raises:
        NotFound: the actor manages no such client.
        AlreadySo: it is suspended.
    """
    await _set_status(db, permit, client_id, "suspended")
    return await store.end_sessions(db, client_id, None, "client-suspended", permit.now)


async def resume(db: AsyncSession, permit: RolePermit, client_id: UUID) -> None:
    """Let a suspended client ask for tokens again; those it had stay dead.

    Raises:
        NotFound: the actor manages no such client.
        AlreadySo: it is active.
    """
    await _set_status(db, permit, client_id, "active")


async def _set_status(db: AsyncSession, permit: RolePermit, client_id: UUID, status: str) -> None:
    await read_client(db, permit, client_id)
    if not await client_store.set_status(db, permit, client_id, status):
        raise AlreadySo


async def require_key_set(key_sets: KeySets, url: str) -> None:
    """Check that keys can be had at an address; one answer for every reason why not.

    Raises:
        Invalid: they cannot.
    """
    try:
        key_sets.target(url)
        await key_sets.read(url)
    except FetchRefused:
        detail = "No usable key set can be had at this address: it must be public, https, and answer with a JWK set."
        raise Invalid(Fault("/jwksUrl", "jwks-url-refused", detail)) from None


def _require_given(permit: RolePermit, scopes: frozenset[ClientScope]) -> None:
    if scopes & FOR_THE_REGION and permit.actor.role is not Role.REGION_ADMIN:
        raise Forbidden("Only a region admin gives this scope.")


def _info(row: dict[str, object]) -> ClientInfo:
    return ClientInfo(
        id=row["id"],  # type: ignore[arg-type]  # the driver's own types, all of them
        engagement_id=row["engagement_id"],  # type: ignore[arg-type]
        organisation_id=row["organisation_id"],  # type: ignore[arg-type]
        status=str(row["status"]),
        created_at=row["created_at"],  # type: ignore[arg-type]
        terms=Terms(
            scopes=frozenset(ClientScope(scope) for scope in row["scopes"]),  # type: ignore[attr-defined]
            jwks=row["jwks"],  # type: ignore[arg-type]
            jwks_url=row["jwks_url"],  # type: ignore[arg-type]
            token_seconds=row["token_seconds"],  # type: ignore[arg-type]
            rate=row["rate"],  # type: ignore[arg-type]
            dpop_required=bool(row["dpop_required"]),
        ),
    )
