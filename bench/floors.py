"""Floors: what the same machine does in the same run with everything of ours taken away."""

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import asyncpg

from app.cli.account import server_account
from app.cli.folder import DataFolder
from app.cli.postgres import DATABASE, Urls
from bench.figures import percentile
from bench.http_client import HttpFault, Pool

FLOOR_DATABASE = "bench_floor"
BATCH = 32
SEALED_BYTES = 280  # a text of 210 bytes with nonce, tag and header
TABLE = """
CREATE TABLE appended (
    case_id uuid NOT NULL, seq bigint NOT NULL, event_id uuid NOT NULL, at timestamptz NOT NULL, type text NOT NULL,
    author_id uuid NOT NULL, thread_id uuid NOT NULL, category text NOT NULL, client_id text NOT NULL,
    body_sealed bytea NOT NULL, PRIMARY KEY (case_id, seq))
"""
INSERT_ONE = """
INSERT INTO appended VALUES ($1, $2, $3, now(), 'message.posted', $4, $5, 'medication', $6, $7)
"""
INSERT_MANY = """
INSERT INTO appended
SELECT case_id, seq, event_id, now(), 'message.posted', author_id, thread_id, 'medication', client_id, body_sealed
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::bytea[])
     AS row(case_id, seq, event_id, author_id, thread_id, client_id, body_sealed)
"""


class AppendFloor:
    """Inserts of one comparable row, each committed, into a database beside ours on the same server."""

    def __init__(self, data_dir: Path) -> None:
        folder = DataFolder(data_dir)
        account = server_account(folder.cluster, lambda _: None)
        self._urls = Urls(folder.socket_folder(account), DATABASE, folder.passwords())
        self._seq = 0
        self._case = uuid.uuid4()
        self._connections: list[asyncpg.Connection[asyncpg.Record]] = []

    async def open(self) -> None:
        """Make the database and its table."""
        connection = await asyncpg.connect(self._urls.superuser)
        await connection.execute(f"CREATE DATABASE {FLOOR_DATABASE}")
        await connection.close()
        url = self._urls.for_database(FLOOR_DATABASE).superuser
        self._connections = [await asyncpg.connect(url) for _ in range(8)]
        await self._connections[0].execute(TABLE)

    async def close(self) -> None:
        """Drop the database."""
        for connection in self._connections:
            await connection.close()
        connection = await asyncpg.connect(self._urls.superuser)
        await connection.execute(f"DROP DATABASE {FLOOR_DATABASE}")
        await connection.close()

    def _row(self) -> tuple[object, ...]:
        self._seq += 1
        return (
            self._case,
            self._seq,
            uuid.uuid4(),
            self._case,
            self._case,
            f"m{self._seq}",
            os.urandom(SEALED_BYTES),
        )

    async def one_by_one(self, connections: int, seconds: float) -> float:
        """Return rows a second, one row a commit, over some connections at once."""
        end = time.perf_counter() + seconds
        count = 0

        async def writer(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
            nonlocal count
            statement = await connection.prepare(INSERT_ONE)
            while time.perf_counter() < end:
                await statement.fetch(*self._row())
                count += 1

        begin = time.perf_counter()
        await asyncio.gather(*(writer(connection) for connection in self._connections[:connections]))
        return count / (time.perf_counter() - begin)

    async def in_batches(self, seconds: float) -> float:
        """Return rows a second, 32 rows a commit, over one connection."""
        statement = await self._connections[0].prepare(INSERT_MANY)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            await statement.fetch(*zip(*(self._row() for _ in range(BATCH)), strict=True))
            count += BATCH
        return count / (time.perf_counter() - begin)


async def closed_loop(workers: int, seconds: float, one: Callable[[], Awaitable[None]]) -> tuple[float, float, float]:
    """Return calls a second and the p50 and p99 of a call in milliseconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def worker() -> None:
        while (begin := time.perf_counter()) < end:
            await one()
            times.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(workers)))
    elapsed = time.perf_counter() - begin
    return len(times) / elapsed, percentile(times, 50) * 1e3, percentile(times, 99) * 1e3


def repeated(
    pool: Pool, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> Callable[[], Awaitable[None]]:
    """Return a call that makes the same request again and insists on success."""

    async def one() -> None:
        status, answer = await pool.send(method, path, headers, body)
        if status >= 300:
            raise HttpFault(status, answer)

    return one
