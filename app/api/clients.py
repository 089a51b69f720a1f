"""Integrations: registering, reading, changing, suspending. A client shows public keys and has no secret of ours."""

from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from app.access.vocabulary import Action, ClientScope
from app.api.bodies import Body, Text, unfit
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, OrganisationRef, PageQuery, page_of
from app.audit.records import ActionCode, Touch
from app.core.errors import Fault, Invalid
from app.identity import clients
from app.identity.clients import RATE_MAX, TOKEN_SECONDS_MAX, ClientInfo, Terms
from app.identity.directory import Person
from app.identity.fetching import URL_CHARS_MAX
from app.identity.keysets import KEYS_MAX, KeySetRefused, PublicKey, read_key_set

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["clients"])

ClientIdPath = Annotated[UUID, Path(alias="clientId", description="The client.")]
RATE_DEFAULT = 20
KEY_FAULTS = {
    "not-a-key-set": f"This must be a JWK set of 1 to {KEYS_MAX} keys.",
    "private-key": "A key has a private part, or is symmetric. Keep it to yourself, and make another pair.",
    "key-type-unknown": "A key is of another type than EC, RSA and OKP.",
    "key-malformed": "A key is malformed.",
    "key-strength": "An RSA key has fewer than 2048 bits, or more than 4096.",
    "key-not-for-this": "A key is for none of ES256, ES384, RS384, PS256 and EdDSA.",
    "key-without-its-own-name": "Where there are several keys, each needs a kid of its own.",
}

Name = Annotated[str, Text(1, 200)]
Scopes = Annotated[list[ClientScope], Field(min_length=1, max_length=len(ClientScope))]
Address = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]
Seconds = Annotated[int, Field(ge=60, le=TOKEN_SECONDS_MAX, description="How long a token lasts.")]
Rate = Annotated[int, Field(ge=1, le=RATE_MAX, description="Requests a second, on average.")]


class KeySetBody(Body):
    """A JWK set (RFC 7517, section 5)."""

    keys: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=KEYS_MAX)]


class ClientIn(Body):
    """A client to register: its keys by value or by address."""

    name: Name
    organisation_id: UUID | None = None
    scopes: Scopes
    jwks: KeySetBody | None = None
    jwks_url: Address | None = None
    token_seconds: Seconds = TOKEN_SECONDS_MAX
    rate: Rate = RATE_DEFAULT
    dpop_required: bool = False

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.jwks is None) == (self.jwks_url is None):
            raise unfit("jwks-or-url", "Give either jwks or jwksUrl.")
        return self


class ClientChangeIn(Body):
    """What changes of a client; what is left out stays. Keys by value replace an address, and the other way round."""

    scopes: Scopes | None = None
    jwks: KeySetBody | None = None
    jwks_url: Address | None = None
    token_seconds: Seconds | None = None
    rate: Rate | None = None
    dpop_required: bool | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.jwks is not None and self.jwks_url is not None:
            raise unfit("jwks-or-url", "Give either jwks or jwksUrl.")
        return self


class KeyOut(Out):
    """A public key."""

    kty: str
    kid: str | None = None
    use: str | None = None
    alg: str | None = None
    crv: str | None = None
    x: str | None = None
    y: str | None = None
    n: str | None = None
    e: str | None = None


class KeySetOut(Out):
    """A JWK set."""

    keys: list[KeyOut]


class ClientOut(Out):
    """A client; its ``id`` is the ``client_id`` of OAuth."""

    id: UUID
    name: str
    organisation: OrganisationRef
    scopes: list[ClientScope]
    jwks: KeySetOut | None
    jwks_url: str | None
    status: str
    token_seconds: int
    rate: int
    dpop_required: bool
    created_at: At


class ClientsOut(Out):
    """Clients, oldest first."""

    items: list[ClientOut]
    next_cursor: str | None


@router.get("/clients")
@operation(Scope.ROLE, Action.CLIENT_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_clients(ctx: RoleContext, query: PageQuery) -> ClientsOut:
    """List the clients of the organisations that one manages."""
    found = await clients.list_clients(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, found, query, "clients", lambda client: client.id)
    people = await ctx.services.directory.people([client.engagement_id for client in shown])
    return ClientsOut(items=[_out(client, people[client.engagement_id]) for client in shown], next_cursor=cursor)


async def render_client(ctx: RoleContext, client_id: UUID) -> ClientOut:
    """Return a client that the actor manages, with its ETag."""
    client = await clients.read_client(ctx.db, ctx.permit, client_id)
    ctx.etag(client.version())
    ctx.touch(Touch("client", client.id))
    return _out(client, await _person(ctx, client))


async def _person(ctx: RoleContext, client: ClientInfo) -> Person:
    return (await ctx.services.directory.people([client.engagement_id]))[client.engagement_id]


@router.post("/clients", status_code=201)
@operation(Scope.ROLE, Action.CLIENT_REGISTER, ActionCode.CREATE, Content.DIRECTORY, replay=render_client)
async def register_client(ctx: RoleContext, body: ClientIn) -> ClientOut:
    """Register a client. Its first token comes from ``/oauth/token``, for an assertion signed with its key."""
    organisation_id = body.organisation_id or ctx.actor.organisation_id
    if organisation_id is None:
        raise Invalid(Fault("/organisationId", "missing", "This is required."))
    terms = Terms(
        scopes=frozenset(body.scopes),
        jwks=_keys(body.jwks),
        jwks_url=body.jwks_url,
        token_seconds=body.token_seconds,
        rate=body.rate,
        dpop_required=body.dpop_required,
    )
    await clients.register(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        ctx.resource_id,
        name=body.name,
        organisation_id=organisation_id,
        terms=terms,
    )
    if body.jwks_url is not None:
        await clients.require_key_set(ctx.services.oauth.key_sets, body.jwks_url)
    client = await clients.read_client(ctx.db, ctx.permit, ctx.resource_id)
    ctx.etag(client.version())
    ctx.touch(Touch("client", client.id))
    organisation = await clients.organisation_name(ctx.db, ctx.permit, client.organisation_id)
    return _shown(client, body.name, OrganisationRef(id=client.organisation_id, name=organisation))


@router.get("/clients/{clientId}")
@operation(Scope.ROLE, Action.CLIENT_LIST, ActionCode.READ, Content.DIRECTORY)
async def read_client(ctx: RoleContext, client_id: ClientIdPath) -> ClientOut:
    """Read a client, with the ETag that a change of it needs."""
    return await render_client(ctx, client_id)


@router.patch("/clients/{clientId}")
@operation(Scope.ROLE, Action.CLIENT_CHANGE, ActionCode.UPDATE, Content.DIRECTORY)
async def change_client(ctx: RoleContext, client_id: ClientIdPath, body: ClientChangeIn) -> ClientOut:
    """Change what a client may do, or its keys. The tokens that it has end: they stood on what was before."""
    client = await clients.lock_client(ctx.db, ctx.permit, client_id)
    ctx.require_match(client.version())
    before = client.terms
    by_address = body.jwks_url is not None or (body.jwks is None and before.jwks_url is not None)
    terms = Terms(
        scopes=before.scopes if body.scopes is None else frozenset(body.scopes),
        jwks=None if by_address else _keys(body.jwks) or before.jwks,
        jwks_url=(body.jwks_url or before.jwks_url) if by_address else None,
        token_seconds=before.token_seconds if body.token_seconds is None else body.token_seconds,
        rate=before.rate if body.rate is None else body.rate,
        dpop_required=before.dpop_required if body.dpop_required is None else body.dpop_required,
    )
    ctx.ended_sessions.update(await clients.change(ctx.db, ctx.permit, client, terms))
    if terms.jwks_url is not None and terms.jwks_url != before.jwks_url:
        await clients.require_key_set(ctx.services.oauth.key_sets, terms.jwks_url)
    return await render_client(ctx, client_id)


@router.post("/clients/{clientId}/suspension", status_code=201)
@operation(Scope.ROLE, Action.CLIENT_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def suspend_client(ctx: RoleContext, client_id: ClientIdPath) -> ClientOut:
    """Suspend a client: its tokens fail from the next request on, and it gets no others."""
    ctx.ended_sessions.update(await clients.suspend(ctx.db, ctx.permit, client_id))
    return await render_client(ctx, client_id)


@router.post("/clients/{clientId}/resumption", status_code=201)
@operation(Scope.ROLE, Action.CLIENT_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def resume_client(ctx: RoleContext, client_id: ClientIdPath) -> ClientOut:
    """Let a suspended client ask for tokens again."""
    await clients.resume(ctx.db, ctx.permit, client_id)
    return await render_client(ctx, client_id)


def _keys(body: KeySetBody | None) -> list[PublicKey] | None:
    """Return the public keys of a body.

    Raises:
        Invalid: they are not such as we verify with.
    """
    if body is None:
        return None
    try:
        return read_key_set({"keys": body.keys})
    except KeySetRefused as refused:
        raise Invalid(Fault("/jwks", refused.code, KEY_FAULTS[refused.code])) from None


def _out(client: ClientInfo, person: Person) -> ClientOut:
    assert person.organisation is not None
    return _shown(client, person.name, OrganisationRef(id=client.organisation_id, name=person.organisation))


def _shown(client: ClientInfo, name: str, organisation: OrganisationRef) -> ClientOut:
    terms = client.terms
    keys = None if terms.jwks is None else KeySetOut(keys=[KeyOut.model_validate(key) for key in terms.jwks])
    return ClientOut(
        id=client.id,
        name=name,
        organisation=organisation,
        scopes=sorted(terms.scopes),
        jwks=keys,
        jwks_url=terms.jwks_url,
        status=client.status,
        token_seconds=terms.token_seconds,
        rate=terms.rate,
        dpop_required=terms.dpop_required,
        created_at=client.created_at,
    )
