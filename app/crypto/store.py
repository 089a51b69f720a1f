"""SQL of the wrapped data keys, as role ``appender``, each call a transaction of its own.

A key outlives the request that first needed it, whether or not that request commits: an unused key harms nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from app.core.db import Pool


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A row of ``data_key``."""

    id: UUID
    scope: UUID
    category: str
    generation: int
    wrapped: bytes


async def reserve_newest(
    pool: Pool, scope: UUID, category: str, *, uses: int, uses_max: int
) -> tuple[WrappedKey | None, int]:
    """Count ``uses`` more against the newest key of a scope and category.

    Returns:
        The key, or None when there is none or it has no such many uses left; and the generation to make next.
    """
    row = await pool.fetchrow(
        """
        with newest as (
            select id from data_key where scope = $1 and category = $2 order by generation desc limit 1
        )
        update data_key set uses = uses + $3 where id = (select id from newest) and uses + $3 <= $4
        returning id, scope, category, generation, wrapped
        """,
        scope,
        category,
        uses,
        uses_max,
    )
    if row is not None:
        return WrappedKey(*row), row["generation"]
    newest = await pool.fetchval(
        "select max(generation) from data_key where scope = $1 and category = $2", scope, category
    )
    return None, (newest or 0) + 1


async def insert(pool: Pool, key: WrappedKey, kek_id: UUID) -> bool:
    """Store a new key; False when another worker made this generation first."""
    status = await pool.execute(
        """
        insert into data_key (id, scope, category, generation, wrapped, kek_id, uses, created_at)
        values ($1, $2, $3, $4, $5, $6, 0, clock_timestamp())
        on conflict (scope, category, generation) do nothing
        """,
        key.id,
        key.scope,
        key.category,
        key.generation,
        key.wrapped,
        kek_id,
    )
    return bool(status.endswith(" 1"))


async def fetch(pool: Pool, ids: Collection[UUID]) -> list[WrappedKey]:
    """Return the keys with these ids, in no order."""
    rows = await pool.fetch(
        "select id, scope, category, generation, wrapped from data_key where id = any($1)", list(ids)
    )
    return [WrappedKey(*row) for row in rows]


async def wrapping_ids(pool: Pool) -> list[UUID]:
    """Return the id of every key-encryption key that some data key still needs."""
    return [row["kek_id"] for row in await pool.fetch("select distinct kek_id from data_key")]
