"""Whether the service is alive and ready, its keys, and what a demonstration needs. Open to all, no patient data."""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from app.access.vocabulary import Action, Role
from app.api.bodies import Body
from app.api.deps import PublicContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.problems import NotReady
from app.api.signing_in import SignedInOut, signed_in_out
from app.audit.records import ActionCode
from app.core.db import FAILURES
from app.core.errors import Fault, Invalid
from app.crypto.errors import KeyringError
from app.identity import demo
from app.identity.signing_in import Delivery

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["system"])
well_known = APIRouter(include_in_schema=False)

READY_TIMEOUT_SECONDS = 2.0
OPEN: dict[str, Any] = {"security": []}
DEMO_ONLY: dict[int | str, dict[str, Any]] = {404: {"description": "Not in demo mode."}}


class HealthOut(Out):
    """Alive."""

    status: str


class ReadinessOut(Out):
    """What the service needs, and that it is there."""

    database: str
    migrations: str
    keys: str


class PersonaOut(Out):
    """Somebody to sign in as in the demo region."""

    persona: str
    name: str
    role: Role
    organisation: str | None
    test_bsn: str | None = None


class PersonasOut(Out):
    """Everybody of the demo region."""

    items: list[PersonaOut]
    next_cursor: str | None


class DemoTokenIn(Body):
    """Whom to sign in as."""

    persona: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    delivery: Delivery = Delivery.TOKENS


@router.get("/health", openapi_extra=OPEN)
@operation(Scope.PUBLIC, Action.SYSTEM_READ, ActionCode.READ, Content.NONE)
async def health(ctx: PublicContext) -> HealthOut:
    """Say that the process is alive."""
    return HealthOut(status="ok")


@router.get("/readiness", openapi_extra=OPEN)
@operation(Scope.PUBLIC, Action.SYSTEM_READ, ActionCode.READ, Content.NONE)
async def readiness(ctx: PublicContext) -> ReadinessOut:
    """Say whether database, migrations and keys are as this version needs them; 503 says which are not."""
    services = ctx.services
    states = {"database": "ok", "migrations": "ok", "keys": "ok"}
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS), services.database.session() as db:
            found = (await db.execute(text("select version_num from alembic_version"))).scalars().all()
        if found != [services.revision]:
            states["migrations"] = "another revision"
    except FAILURES:
        states |= {"database": "no answer", "migrations": "unknown"}
    try:
        await services.crypto.data_keys.require_wrapping_keys()
    except KeyringError:
        states["keys"] = "a key is missing"
    except FAILURES:
        states["keys"] = "unknown"
    if set(states.values()) != {"ok"}:
        raise NotReady(states)
    return ReadinessOut(**states)


@router.get("/demo-personas", openapi_extra=OPEN, responses=DEMO_ONLY)
@operation(Scope.PUBLIC, Action.SYSTEM_READ, ActionCode.READ, Content.NONE, demo=True)
async def list_demo_personas(ctx: PublicContext) -> PersonasOut:
    """List whom one can sign in as; in demo mode only."""
    items = [
        PersonaOut(
            persona=persona.key,
            name=persona.name,
            role=persona.role,
            organisation=persona.organisation.name if persona.organisation else None,
            **({"test_bsn": persona.test_bsn} if persona.test_bsn else {}),
        )
        for persona in demo.PERSONAS
    ]
    return PersonasOut(items=items, next_cursor=None)


@router.post("/demo-tokens", status_code=201, openapi_extra=OPEN, responses=DEMO_ONLY)
@operation(Scope.PUBLIC, Action.TOKEN_ISSUE, ActionCode.EXECUTE, Content.NONE, demo=True)
async def issue_demo_token(ctx: PublicContext, body: DemoTokenIn) -> SignedInOut:
    """Sign in as a persona of the demo region; in demo mode only."""
    services = ctx.services
    persona = demo.BY_KEY.get(body.persona)
    if persona is None:
        raise Invalid(Fault("/persona", "unknown-value", "There is no such persona."))
    signed_in = await demo.sign_in(
        services.database,
        services.clock,
        services.issuer,
        services.crypto.digests,
        persona,
        ctx.origin,
        services.settings.audit_source,
        delivery=body.delivery,
    )
    return await signed_in_out(ctx, signed_in)


@well_known.get("/api/v1/openapi.json")
@well_known.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    """Serve the description of this interface, to everybody."""
    return Response(request.app.state.document(), media_type="application/json")


@well_known.get("/.well-known/jwks.json")
async def jwks(request: Request) -> Response:
    """Serve the public keys that tokens verify with."""
    keys = request.app.state.services.crypto.signing.public_jwks()
    return Response(orjson.dumps(keys), media_type="application/json")
