"""SQL of integrations for role ``app``. Row-level security narrows the directory of clients to who manages them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.db import Pool

_CLIENT = """
    select c.id, c.engagement_id, e.organisation_id, c.scopes, c.jwks, c.jwks_url, c.token_seconds, c.rate,
           c.dpop_required, c.created_at, a.status
      from client c join engagement e on e.id = c.engagement_id join account a on a.id = c.id
"""


_ADD_ACCOUNT = text("insert into account (id, name_sealed, created_at) values (:id, :name, :at)")
_ADD_ENGAGEMENT = text(
    "insert into engagement (id, account_id, organisation_id, role, profession, valid_from)"
    " values (:engagement_id, :id, :organisation, 'integration', 'systeem', :at)"
)
_ADD_CLIENT = text(
    "insert into client (id, engagement_id, scopes, jwks, jwks_url, token_seconds, rate, dpop_required, created_at)"
    " values (:id, :engagement_id, :scopes, cast(:jwks as jsonb), :jwks_url, :token_seconds, :rate, :dpop_required,"
    " :at)"
)


async def administers(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> bool:
    """Whether the actor manages the people, and so the clients, of an organisation."""
    statement = text("select administers(:organisation)")
    return bool((await db.execute(statement, {"organisation": organisation_id})).scalar_one())


async def is_active(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> bool:
    """Whether there is such an organisation, neither suspended nor merged."""
    statement = text("select exists (select 1 from organisation where id = :organisation and status = 'active')")
    return bool((await db.execute(statement, {"organisation": organisation_id})).scalar_one())


async def organisation_name(db: AsyncSession, permit: RolePermit, organisation_id: UUID) -> str:
    """Return what an organisation is called."""
    statement = text("select name from organisation where id = :organisation")
    return str((await db.execute(statement, {"organisation": organisation_id})).scalar_one())


async def add(
    db: AsyncSession, permit: RolePermit, *, organisation_id: UUID, name_sealed: bytes, values: dict[str, object]
) -> None:
    """Insert a client with its account and engagement; ``values`` are the columns of its row."""
    values = {**values, "organisation": organisation_id, "name": name_sealed, "at": permit.now}
    for statement in (_ADD_ACCOUNT, _ADD_ENGAGEMENT, _ADD_CLIENT):
        await db.execute(statement, {name: values[name] for name in statement.compile().params})


async def clients(db: AsyncSession, permit: RolePermit) -> Sequence[RowMapping]:
    """Return the clients that the actor manages, oldest first."""
    return (await db.execute(text(f"{_CLIENT} order by c.created_at, c.id"))).mappings().all()


async def client(db: AsyncSession, permit: RolePermit, client_id: UUID) -> RowMapping | None:
    """Return a client that the actor manages."""
    return (await db.execute(text(f"{_CLIENT} where c.id = :id"), {"id": client_id})).mappings().first()


async def lock(db: AsyncSession, permit: RolePermit, client_id: UUID) -> bool:
    """Hold a client until the transaction ends; False when the actor may not change it."""
    statement = text("select 1 from client where id = :id for update")
    return (await db.execute(statement, {"id": client_id})).first() is not None


async def change(db: AsyncSession, permit: RolePermit, client_id: UUID, values: dict[str, object]) -> None:
    """Overwrite what may change of a client."""
    statement = text(
        "update client set scopes = :scopes, jwks = cast(:jwks as jsonb), jwks_url = :jwks_url,"
        " token_seconds = :token_seconds, rate = :rate, dpop_required = :dpop_required where id = :id"
    )
    await db.execute(statement, {**values, "id": client_id})


async def set_status(db: AsyncSession, permit: RolePermit, client_id: UUID, status: str) -> bool:
    """Suspend or resume a client; False when it is so already."""
    statement = text("update account set status = :status where id = :id and status <> :status returning 1")
    return (await db.execute(statement, {"id": client_id, "status": status})).first() is not None


async def terms(db: AsyncSession, client_id: UUID, now: datetime | None) -> RowMapping | None:
    """Return the keys and terms of a client in force, for whoever proves to be it."""
    statement = text("select * from client_terms(:id, :now)")
    return (await db.execute(statement, {"id": client_id, "now": now})).mappings().first()


async def show_once(db: AsyncSession, digest: bytes, *, expires_at: datetime, now: datetime) -> bool:
    """Note what may be shown once only; False when it was shown before. Clears away what has ended."""
    await db.execute(text("delete from shown_once where expires_at <= :now"), {"now": now})
    statement = text(
        "insert into shown_once (digest, expires_at) values (:digest, :at) on conflict do nothing returning 1"
    )
    return (await db.execute(statement, {"digest": digest, "at": expires_at})).first() is not None


async def start_session(
    db: AsyncSession, session_id: UUID, client_id: UUID, scopes: Sequence[str], now: datetime | None
) -> tuple[datetime, int] | None:
    """Start a session of a client and return when, and for how many seconds; None when its terms do not allow it."""
    statement = text("select * from start_client_session(:session, :client, :scopes, :now)")
    values = {"session": session_id, "client": client_id, "scopes": list(scopes), "now": now}
    row = (await db.execute(statement, values)).first()
    return None if row is None else (row.instant, row.seconds)


async def is_alive(pool: Pool, session_id: UUID, engagement_id: UUID, now: datetime) -> bool:
    """Whether a session and the engagement it acts in still stand; asking is not using."""
    ended = await pool.fetchval(
        "select exists (select 1 from lease(array[$1]::uuid[], array[$2]::uuid[], array[]::uuid[], $3)"
        " where kind = 'ended')",
        session_id,
        engagement_id,
        now,
    )
    return not ended


async def take_look_up(pool: Pool, account_id: UUID, now: datetime | None, *, burst: int, seconds: int) -> int:
    """Take one BSN look-up out of an account's allowance, committed at once; return the seconds to wait, or 0."""
    wait: int = await pool.fetchval("select take_bsn_look_up($1, $2, $3, $4)", account_id, now, burst, seconds)
    return wait


def as_json(keys: Sequence[object] | None) -> str | None:
    """Return keys as the statements above take them."""
    return None if keys is None else orjson.dumps(keys).decode()
