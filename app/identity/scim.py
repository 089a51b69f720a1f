"""What an organisation's identity system calls its people: SQL for role ``app``, names sealed and found by digest."""

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policy import RolePermit
from app.core.ids import EngagementId
from app.crypto.sealing import Place, key_id_of, open_text, seal_text
from app.crypto.service import Crypto
from app.identity.directory import NAME_CATEGORY


@dataclass(frozen=True, slots=True)
class Naming:
    """How an identity system names somebody. ``userName`` is compared without letter case, ``externalId`` with."""

    user_name: str
    external_id: str | None = None
    given: str | None = None
    middle: str | None = None
    family: str | None = None
    formatted: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """How somebody is named, and since when."""

    naming: Naming
    created_at: datetime
    changed_at: datetime


def user_name_digest(crypto: Crypto, organisation_id: UUID, user_name: str) -> bytes:
    """Return what a user name is found by, within its organisation."""
    folded = unicodedata.normalize("NFKC", user_name).casefold()
    return crypto.digests.digest("scim-user-name", organisation_id.bytes, folded.encode("utf-8", "surrogatepass"))


def external_id_digest(crypto: Crypto, organisation_id: UUID, external_id: str) -> bytes:
    """Return what an external id is found by, within its organisation."""
    encoded = external_id.encode("utf-8", "surrogatepass")
    return crypto.digests.digest("scim-external-id", organisation_id.bytes, encoded)


def _place(engagement_id: UUID, account_id: UUID) -> Place:
    return Place("scim_user", "attributes_sealed", engagement_id, account_id, NAME_CATEGORY, None)


async def known(
    db: AsyncSession, permit: RolePermit, crypto: Crypto, accounts: Mapping[EngagementId, UUID]
) -> dict[EngagementId, Known]:
    """Return how these engagements are named; ``accounts`` says whose they are. Who is not named is absent."""
    statement = text(
        "select engagement_id, attributes_sealed, created_at, changed_at from scim_user"
        " where engagement_id = any(:ids)"
    )
    rows = (await db.execute(statement, {"ids": list(accounts)})).mappings().all()
    keys = await crypto.data_keys.opening(row["attributes_sealed"] for row in rows)
    found = {}
    for row in rows:
        sealed, engagement_id = row["attributes_sealed"], row["engagement_id"]
        opened = open_text(keys[key_id_of(sealed)], sealed, _place(engagement_id, accounts[engagement_id]))
        found[engagement_id] = Known(Naming(**orjson.loads(opened)), row["created_at"], row["changed_at"])
    return found


_BY = {
    column: text(f"select engagement_id from scim_user where organisation_id = :organisation and {column} = :digest")  # noqa: S608
    for column in ("user_name_digest", "external_id_digest")
}


async def find(
    db: AsyncSession, permit: RolePermit, organisation_id: UUID, *, column: str, digest: bytes
) -> Collection[EngagementId]:
    """Return the engagements of an organisation that are named so; ``column`` is that of a digest."""
    statement = _BY[column]
    return (await db.execute(statement, {"organisation": organisation_id, "digest": digest})).scalars().all()


async def name(
    db: AsyncSession,
    permit: RolePermit,
    crypto: Crypto,
    organisation_id: UUID,
    engagement_id: EngagementId,
    account_id: UUID,
    naming: Naming,
) -> bool:
    """Name somebody, anew or for the first time; False when another has that user name. Who left keeps none."""
    left = text(
        "delete from scim_user s using engagement e where s.organisation_id = :organisation"
        " and e.id = s.engagement_id and e.valid_until <= :now"
    )
    await db.execute(left, {"organisation": organisation_id, "now": permit.now})
    digest = user_name_digest(crypto, organisation_id, naming.user_name)
    holders = await find(db, permit, organisation_id, column="user_name_digest", digest=digest)
    if any(holder != engagement_id for holder in holders):
        return False
    key = await crypto.data_keys.sealing(account_id, NAME_CATEGORY)
    external = naming.external_id
    statement = text(
        "insert into scim_user (engagement_id, organisation_id, user_name_digest, external_id_digest,"
        " attributes_sealed, created_at, changed_at)"
        " values (:engagement, :organisation, :user_name, :external_id, :attributes, :now, :now)"
        " on conflict (engagement_id) do update set user_name_digest = excluded.user_name_digest,"
        " external_id_digest = excluded.external_id_digest, attributes_sealed = excluded.attributes_sealed,"
        " changed_at = excluded.changed_at"
    )
    values = {
        "engagement": engagement_id,
        "organisation": organisation_id,
        "user_name": digest,
        "external_id": None if external is None else external_id_digest(crypto, organisation_id, external),
        "attributes": seal_text(key, orjson.dumps(naming).decode(), _place(engagement_id, account_id)),
        "now": permit.now,
    }
    await db.execute(statement, values)
    return True
