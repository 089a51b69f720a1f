"""Floor of the token check: bare FastAPI routes that differ in nothing but how they learn whose request it is.

``/trusted`` believes a header and enters the database transaction of that session; ``/token`` verifies our access
token first. ``/open`` does neither: it shows what share of a request the framework is.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from fastapi import FastAPI, HTTPException, Request
from pydantic import SecretStr

from app.core.db import open_database
from app.core.settings import Settings
from app.crypto.keyring import KeyringFolder
from app.crypto.signing import SigningKeys
from app.identity import service as identity
from app.identity.service import Entered
from app.identity.tokens import TokenVerifier

AUDIENCE = "overlegtafel"
BEARER = b"bearer "
ANSWER = {"status": "ok"}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the service's own database and keys."""
    roles = {
        name: SecretStr(os.environ[f"BENCH_{name.upper()}"])
        for name in ("database_url", "appender_url", "stream_url")
    }
    app.state.database = await open_database(Settings(**roles))  # type: ignore[arg-type]
    keys = SigningKeys(KeyringFolder.open_existing(Path(os.environ["BENCH_KEYS"])))
    app.state.verifier = TokenVerifier(keys, os.environ["BENCH_ISSUER"], AUDIENCE)
    yield
    await app.state.database.close()


app = FastAPI(lifespan=lifespan)


async def entered(request: Request, session_id: UUID, engagement_id: UUID) -> Entered:
    """Enter the transaction as every operation of the service does."""
    async with request.app.state.database.session() as db, db.begin():
        return await identity.enter(db, session_id, None, engagement_id=engagement_id)


@app.get("/open")
async def open_() -> dict[str, str]:
    """Ask nobody anything."""
    return ANSWER


@app.get("/trusted")
async def trusted(request: Request) -> dict[str, str]:
    """Believe what the header says."""
    session_id, _, engagement_id = request.headers["x-session"].partition(" ")
    await entered(request, UUID(session_id), UUID(engagement_id))
    return ANSWER


@app.get("/token")
async def token(request: Request) -> dict[str, str]:
    """Verify the token, as the edge of the service does."""
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(values) != 1 or values[0][: len(BEARER)].lower() != BEARER:
        raise HTTPException(401)
    now = int(datetime.now(UTC).timestamp())
    claims = request.app.state.verifier.verify(values[0][len(BEARER) :].decode("latin-1"), now=now)
    found = await entered(request, claims.sid, claims.eng)
    if found.actor.account_id != claims.sub:
        raise HTTPException(401)
    return ANSWER
