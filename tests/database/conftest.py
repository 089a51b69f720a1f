"""A database in which people talked, and connections to it as each role."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from app.cli.postgres import Urls
from app.identity.demo import BY_KEY
from tests.conftest import TEMPLATE, settings_for
from tests.serving import serve
from tests.stories import Table, consent, open_table, seat, thread

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Stock:
    """What is in the database: one case with everybody at the table, and what was said."""

    urls: Urls
    case_id: UUID
    patient_id: UUID
    members: dict[str, UUID]
    threads: dict[str, UUID]
    messages: dict[str, UUID]
    consents: dict[str, UUID]

    async def session_of(self, root: Connection, persona: str) -> UUID:
        """Return a persona's live session; of one who has not signed in yet, a new one."""
        engagement = BY_KEY[persona].engagement_id
        query = "select id from login_session where engagement_id = $1 and ended_at is null"
        found: UUID | None = await root.fetchval(query, engagement)
        if found is None:
            await root.execute(
                "select start_session(gen_random_uuid(), $1, $2, 'demo', 'demo', '{}', null, 3600, null, null)",
                BY_KEY[persona].account_id,
                engagement,
            )
            found = await root.fetchval(query, engagement)
        assert found is not None
        return found


@asynccontextmanager
async def copied(cluster: Urls, name: str, template: str = TEMPLATE) -> AsyncIterator[Urls]:
    """Yield a copy of a database that nobody is connected to, under a name of its own."""
    maintenance = await asyncpg.connect(cluster.for_database("postgres").superuser)
    try:
        await maintenance.execute(f"create database {name} template {template} strategy file_copy")
        yield cluster.for_database(name)
        await maintenance.execute(f"drop database {name} with (force)")
    finally:
        await maintenance.close()


@pytest.fixture(scope="package")
async def stocked_template(cluster: Urls, scratch: Path) -> AsyncIterator[Stock]:
    """A database that was filled once, to copy."""
    async with copied(cluster, "stocked_template") as urls:
        yield await stocked(urls, scratch)


@pytest.fixture(scope="package")
async def stock(cluster: Urls, stocked_template: Stock) -> AsyncIterator[Stock]:
    """A database with a case; the tests that share it leave it as it is."""
    async with copied(cluster, "stock", "stocked_template") as urls:
        yield replace(stocked_template, urls=urls)


_numbers = count(1)


@pytest.fixture
async def own_stock(cluster: Urls, stocked_template: Stock) -> AsyncIterator[Stock]:
    """The same in a database of the test's own."""
    async with copied(cluster, f"own_stock_{next(_numbers)}", "stocked_template") as urls:
        yield replace(stocked_template, urls=urls)


async def stocked(urls: Urls, scratch: Path) -> Stock:
    """Fill a database through the service, and stop the service."""
    async with serve(settings_for(urls, scratch / "keys")) as instance:
        table = await open_table(instance)
        await seat(table, "poh", direct=True)
        await seat(table, "district-nurse", direct=True)
        await seat(table, "social-worker")
        await seat(table, "social-worker-2")
        threads = {category: await thread(table, category) for category in ("medication", "social_participation")}
        given = await consent(table, "social-worker", "social_participation")
        messages = {
            f"{persona} {category}": await _said(table, persona, threads[category], key=f"{persona}-{category}")
            for persona, category in (
                ("gp", "medication"),
                ("poh", "medication"),
                ("gp", "social_participation"),
                ("social-worker", "social_participation"),
            )
        }
        # Everybody below signed in: a stranger, the citizen, and who reads the log.
        for persona in ("gp-other", "citizen", "auditor", "privacy-officer", "informal-carer"):
            await instance.as_(persona)
        members = dict(table.members)
    root = await asyncpg.connect(urls.superuser)
    try:
        members["gp"] = str(await _member(root, table.case_id, "gp"))
        members["citizen"] = str(await _member(root, table.case_id, "citizen"))
    finally:
        await root.close()
    return Stock(
        urls=urls,
        case_id=UUID(table.case_id),
        patient_id=UUID(table.patient_id),
        members={key: UUID(value) for key, value in members.items()},
        threads={key: UUID(value) for key, value in threads.items()},
        messages=messages,
        consents={"social-worker": UUID(given)},
    )


async def _said(table: Table, persona: str, thread_id: str, *, key: str) -> UUID:
    caller = await table.as_(persona)
    made = await caller.made(f"/threads/{thread_id}/messages", {"text": "Dag."}, Idempotency_Key=key)
    return UUID(str(made["id"]))


async def _member(root: Connection, case_id: str, persona: str) -> UUID:
    found: UUID = await root.fetchval(
        "select id from member where case_id = $1 and engagement_id = $2",
        UUID(case_id),
        BY_KEY[persona].engagement_id,
    )
    return found


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[str], Awaitable[Connection]]]:
    """Open connections that are closed when the test ends, whatever state they are in."""
    opened: list[Connection] = []

    async def one(url: str) -> Connection:
        connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
        opened.append(connection)
        return connection

    yield one
    for connection in opened:
        connection.terminate()


Connect: TypeAlias = Callable[[str], Awaitable[Connection]]


@asynccontextmanager
async def acting(stock: Stock, root: Connection, app: Connection, persona: str | None) -> AsyncIterator[Connection]:
    """Enter a transaction of role ``app`` as a persona, or as nobody, that is rolled back."""
    transaction = app.transaction()
    await transaction.start()
    try:
        if persona is not None:
            session = await stock.session_of(root, persona)
            assert await app.fetchrow("select * from enter($1, null)", session) is not None
        yield app
    finally:
        await transaction.rollback()
