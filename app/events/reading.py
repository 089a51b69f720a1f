"""Reading the stream as role ``stream``: each event with who would be let to read it, recorded before it is told."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import structlog

from app.access.tables import POLICY_VERSION
from app.core.clock import Clock
from app.core.db import Pool
from app.core.ids import CaseId, EngagementId
from app.crypto.errors import KeyDestroyed, SealBroken
from app.crypto.service import DataKeys
from app.events.bodies import open_bodies

PAGE_MAX = 256
LEASE_TIMEOUT_SECONDS = 2.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Read:
    """One event: its row, its text if it has one and anybody here may read it, and who the database lets read it."""

    row: Mapping[str, Any]
    text: str | None
    audience: frozenset[EngagementId]
    version: int
    read_at: datetime

    @property
    def seq(self) -> int:
        """Its position."""
        seq: int = self.row["seq"]
        return seq


@dataclass(frozen=True, slots=True)
class Leased:
    """What one renewal found: who may speak no more (session, engagement), where each case stands (seq, version)."""

    ended: frozenset[tuple[UUID, UUID]]
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
        now = self.now()
        rows = await self._pool.fetch(
            "select * from read_stream($1, $2, $3, $4, $5, $6, $7)",
            self._source,
            case_id,
            seq,
            limit,
            now,
            POLICY_VERSION,
            list(listeners),
        )
        return await self._opened(case_id, rows, now)

    async def openings(self, case_id: CaseId, listener: EngagementId) -> list[Read]:
        """Return the opening events of every thread that a listener may read now."""
        now = self.now()
        rows = await self._pool.fetch(
            "select * from read_openings($1, $2, $3, $4, $5)",
            self._source,
            case_id,
            listener,
            now,
            POLICY_VERSION,
        )
        return await self._opened(case_id, rows, now, audience=frozenset({listener}))

    async def _opened(
        self, case_id: CaseId, rows: Sequence[Any], now: datetime, audience: frozenset[EngagementId] | None = None
    ) -> list[Read]:
        named = [{"case_id": case_id, **dict(row)} for row in rows]
        texts = await self._texts(named)
        reads = []
        for row in named:
            if isinstance(row.get("data"), str):
                row["data"] = json.loads(row["data"])
            heard = audience if audience is not None else frozenset(row["audience"] or ())
            if row["body_sealed"] is not None and row["id"] not in texts:
                heard = frozenset()
            reads.append(Read(row, texts.get(row["id"]), heard, row["version"], now))
        return reads

    async def _texts(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[UUID, str]:
        """Return the texts by event id. One that does not open is nobody's, and must not silence those after it."""
        sealed = [SimpleNamespace(**row) for row in rows]
        try:
            return await open_bodies(self._keys, sealed)
        except (SealBroken, KeyDestroyed):
            texts: dict[UUID, str] = {}
        for row in sealed:
            try:
                texts.update(await open_bodies(self._keys, [row]))
            except KeyDestroyed:
                log.info("stream.erased", case_id=str(row.case_id), seq=row.seq)
            except SealBroken:
                log.error("seal.broken", where="delivery", case_id=str(row.case_id), seq=row.seq)  # noqa: TRY400
        return texts

    async def head(self, case_id: CaseId) -> tuple[int, int]:
        """Return where a case's stream stands: position and access version."""
        row = await self._pool.fetchrow("select seq, access_version from case_head where case_id = $1", case_id)
        return (0, 0) if row is None else (row["seq"], row["access_version"])

    async def note_use(self, session_ids: Collection[UUID]) -> None:
        """Note that these sessions are in use, so that they do not end, or lock, for want of it."""
        await self._pool.execute(
            "select note_use($1, $2)", list(session_ids), self._clock(), timeout=LEASE_TIMEOUT_SECONDS
        )

    async def lease(self, sessions: Collection[tuple[UUID, UUID]], cases: Collection[CaseId]) -> Leased:
        """Ask in one statement which sessions, each in an engagement, ended and where the cases stand."""
        rows = await self._pool.fetch(
            "select * from lease($1, $2, $3, $4)",
            [session for session, _ in sessions],
            [engagement for _, engagement in sessions],
            list(cases),
            self._clock(),
            timeout=LEASE_TIMEOUT_SECONDS,
        )
        return Leased(
            ended=frozenset((row["id"], row["engagement_id"]) for row in rows if row["kind"] == "ended"),
            heads={CaseId(row["id"]): (row["seq"], row["version"]) for row in rows if row["kind"] == "head"},
        )
