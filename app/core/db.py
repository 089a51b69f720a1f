"""Connections: an ORM engine for role ``app``, bare pools for roles ``appender`` and ``stream``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from app.core.settings import PlatformConsent, Settings

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# What a look at the database can fail with for reasons of its own; a connection that breaks at the wrong moment is a
# mistake of the client's in the driver's eyes.
FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    SQLAlchemyError,
    OSError,
    TimeoutError,
)
POOL_SIZE = 8
POOL_OVERFLOW = 8
POOL_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_MS = 15_000
SERVER_SETTINGS = {
    "application_name": "overlegtafel",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "30000",
    "timezone": "UTC",
    "jit": "off",
    # Row-level security makes a statement dear to plan and cheap to run; there are few, and they do not vary.
    "plan_cache_mode": "force_generic_plan",
}
# The appender and the hub run the same few statements all day, always by index.
HOT_SETTINGS = {**SERVER_SETTINGS, "enable_seqscan": "off"}


@dataclass(frozen=True, slots=True)
class Database:
    """The process's connections. Each role sees only what its policies let it see."""

    engine: AsyncEngine
    appender: Pool
    stream: Pool

    def session(self) -> AsyncSession:
        """Return a database session for role ``app``; nothing is loaded again after a commit."""
        return AsyncSession(self.engine, expire_on_commit=False, autoflush=True)

    async def close(self) -> None:
        """Close every connection."""
        await self.appender.close()
        await self.stream.close()
        await self.engine.dispose()


async def connect(
    dsn: str, *, platform_consent: PlatformConsent = PlatformConsent.REQUIRED
) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one connection with the limits every connection of this service has.

    What the deployment asks of citizens goes with it, so that the database derives from the same as the service.
    """
    settings = {**SERVER_SETTINGS, "overlegtafel.platform_consent": platform_consent.value}
    return await asyncpg.connect(dsn, server_settings=settings, timeout=POOL_TIMEOUT_SECONDS)


@asynccontextmanager
async def owner_transaction(owner_url: str) -> AsyncIterator[AsyncSession]:
    """One transaction over a connection of its own, for a command that logs in as the tables' owner."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: connect(owner_url), poolclass=NullPool, hide_parameters=True
    )
    try:
        async with AsyncSession(engine, expire_on_commit=False) as db, db.begin():
            yield db
    finally:
        await engine.dispose()


async def open_database(settings: Settings) -> Database:
    """Open the engine and the pools named by the settings."""
    dsn = settings.role_url("app")
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(dsn, platform_consent=settings.asked_of_citizens),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        hide_parameters=True,
    )
    return Database(
        engine=engine,
        appender=await _pool(settings.role_url("appender"), size=4),
        stream=await _pool(settings.role_url("stream"), size=4),
    )


async def _pool(dsn: str, *, size: int) -> Pool:
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        server_settings=HOT_SETTINGS,
        timeout=POOL_TIMEOUT_SECONDS,
        reset=_keep_as_is,
    )


async def _keep_as_is(_connection: object) -> None:
    """Skip the reset between uses: these roles set nothing in a session, and it would cost a second round trip."""
