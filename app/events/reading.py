"""Reading the stream as role ``stream``: each event with who would be let to read it, recorded before it is told."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from app.access.tables import POLICY_VERSION
from app.core.clock import Clock
from app.core.db import Pool
from app.core.ids import CaseId, EngagementId
from app.crypto.service import DataKeys
from app.events.bodies import open_bodies

PAGE_MAX = 256
LEASE_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Read:
    """One event: its row, its text if it has one and anybody here may read it, and who the database lets read it."""

    row: Mapping[str, Any]
    text: str | None
    audience: frozenset[EngagementId]
    version: int

    @property
    def seq(self) -> int:
        """Its position."""
        seq: int = self.row["seq"]
        return seq


@dataclass(frozen=True, slots=True)
class Leased:
    """What one renewal found: sessions that ended, and where each case's stream stands (seq, version)."""

    ended: frozenset[UUID]
    heads: Mapping[CaseId, tuple[int, int]]


class Stream:
    """The reader of the stream for one worker."""

    def __init__(self, pool: Pool, keys: DataKeys, clock: Clock, *, source: str) -> None:
        self._pool = pool
        self._keys = keys
        self._clock = clock
        self._source = source

    def now(self) -> datetime:
        """Return the instant that decisions over the stream are made at."""
        return self._clock() or datetime.now(UTC)

    async def after(
        self, case_id: CaseId, seq: int, listeners: Collection[EngagementId], *, limit: int = PAGE_MAX
    ) -> list[Read]:
        """Return the events after a position, with their audience among ``listeners``.

        The record of the delivery is durable when this returns.
        """
        rows = await self._pool.fetch(
            "select * from read_stream($1, $2, $3, $4, $5, $6, $7)",
            self._source,
            case_id,
            seq,
            limit,
            self.now(),
            POLICY_VERSION,
            list(listeners),
        )
        return await self._opened(case_id, rows)

    async def openings(self, case_id: CaseId, listener: EngagementId) -> list[Read]:
        """Return the opening events of every thread that a listener may read now."""
        rows = await self._pool.fetch(
            "select * from read_openings($1, $2, $3, $4, $5)",
            self._source,
            case_id,
            listener,
            self.now(),
            POLICY_VERSION,
        )
        return await self._opened(case_id, rows, audience=frozenset({listener}))

    async def _opened(
        self, case_id: CaseId, rows: Sequence[Any], audience: frozenset[EngagementId] | None = None
    ) -> list[Read]:
        named = [{"case_id": case_id, **dict(row)} for row in rows]
        texts = await open_bodies(self._keys, [SimpleNamespace(**row) for row in named])
        reads = []
        for row in named:
            if isinstance(row.get("data"), str):
                row["data"] = json.loads(row["data"])
            heard = audience if audience is not None else frozenset(row["audience"] or ())
            reads.append(Read(row, texts.get(row["id"]), heard, row["version"]))
        return reads

    async def head(self, case_id: CaseId) -> tuple[int, int]:
        """Return where a case's stream stands: position and access version."""
        row = await self._pool.fetchrow("select seq, access_version from case_head where case_id = $1", case_id)
        return (0, 0) if row is None else (row["seq"], row["access_version"])

    async def lease(self, sessions: Collection[UUID], cases: Collection[CaseId]) -> Leased:
        """Ask in one statement which sessions ended and where the cases stand."""
        rows = await self._pool.fetch(
            "select * from lease($1, $2, $3)",
            list(sessions),
            list(cases),
            self._clock(),
            timeout=LEASE_TIMEOUT_SECONDS,
        )
        return Leased(
            ended=frozenset(row["id"] for row in rows if row["kind"] == "ended"),
            heads={CaseId(row["id"]): (row["seq"], row["version"]) for row in rows if row["kind"] == "head"},
        )
