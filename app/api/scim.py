"""SCIM 2.0: an organisation's identity system keeps its people here. Source: RFC 7643 and RFC 7644.

A user is an engagement of the client's own organisation. What is not kept (addresses, telephones, passwords) is taken
and dropped, as RFC 7644 section 3.3 lets a service do; what comes back is what is kept.
"""

from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    Context,
    ETag,
    Filter,
    ListResponse,
    Meta,
    Patch,
    PatchOp,
    Resource,
    ResourceType,
    Schema,
    ServiceProviderConfig,
    Sort,
)

from app.access.vocabulary import Action
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Scope, operation
from app.api.scim_messages import (
    BASE,
    COUNT_MAX,
    PROVIDER,
    SCIM,
    Message,
    Person,
    ScimFaults,
    ScimQuery,
    ShownQuery,
    load,
    location,
    message,
    resource_of,
    sought,
    wanted_of,
)
from app.audit.records import ActionCode, Touch
from app.core.ids import EngagementId
from app.entitlement import provisioning
from app.entitlement.staffing import Effects

UserIdPath = Annotated[UUID, Path(alias="userId", description="The user.")]
router = APIRouter(prefix=BASE, route_class=OperationRoute, include_in_schema=False)


async def _one(ctx: RoleContext, engagement_id: UUID, context: Context, query: ShownQuery | None = None) -> Message:
    user = await provisioning.user(ctx.db, ctx.permit, ctx.crypto, engagement_id)
    resource = resource_of(ctx, user)
    ctx.etag(*user.version())
    ctx.headers["Location"] = str(resource.meta.location)
    ctx.touch(Touch("engagement", engagement_id))
    return message(resource, context, query)


def _took_effect(ctx: RoleContext, effects: Effects) -> None:
    ctx.moved |= effects.cases
    ctx.ended_sessions |= effects.sessions


# Users


@router.get("/Users")
@operation(Scope.ROLE, Action.SCIM_READ, ActionCode.READ, Content.DIRECTORY, dialect=SCIM)
async def list_users(ctx: RoleContext, query: ScimQuery) -> Message:
    """List the organisation's users, or those of one name."""
    if query.filter is None:
        found = await provisioning.users(ctx.db, ctx.permit)
    else:
        attribute, value = sought(query.filter)
        found = await provisioning.search(ctx.db, ctx.permit, ctx.crypto, attribute, value)
    first = max(query.start_index, 1)
    page = found[first - 1 : first - 1 + min(max(query.count, 0), COUNT_MAX)]
    shown = await provisioning.named(ctx.db, ctx.permit, ctx.crypto, page)
    ctx.touch(*(Touch("engagement", one.id) for one in page))
    answer = ListResponse[Person](
        total_results=len(found),
        start_index=first,
        items_per_page=len(page),
        resources=[resource_of(ctx, one) for one in shown],
    )
    return message(answer, Context.RESOURCE_QUERY_RESPONSE, query)


@router.post("/Users", status_code=201)
@operation(Scope.ROLE, Action.SCIM_WRITE, ActionCode.CREATE, Content.DIRECTORY, dialect=SCIM)
async def create_user(ctx: RoleContext, raw: bytes) -> Message:
    """Engage somebody."""
    person = load(Person.model_validate, raw, Context.RESOURCE_CREATION_REQUEST)
    engagement_id = EngagementId(ctx.resource_id)
    wanted = wanted_of(person, active=True)
    _took_effect(ctx, await provisioning.provision(ctx.db, ctx.permit, ctx.crypto, wanted, engagement_id))
    return await _one(ctx, engagement_id, Context.RESOURCE_CREATION_RESPONSE)


@router.get("/Users/{userId}")
@operation(Scope.ROLE, Action.SCIM_READ, ActionCode.READ, Content.DIRECTORY, dialect=SCIM)
async def read_user(ctx: RoleContext, user_id: UserIdPath, query: ShownQuery) -> Message:
    """Show one user."""
    return await _one(ctx, user_id, Context.RESOURCE_QUERY_RESPONSE, query)


@router.put("/Users/{userId}")
@operation(Scope.ROLE, Action.SCIM_WRITE, ActionCode.UPDATE, Content.DIRECTORY, dialect=SCIM)
async def replace_user(ctx: RoleContext, user_id: UserIdPath, raw: bytes) -> Message:
    """Make a user what is sent; who they are engaged as cannot change, and active stays as it is when left out."""
    person = load(Person.model_validate, raw, Context.RESOURCE_REPLACEMENT_REQUEST)
    present = await _held(ctx, user_id)
    with ScimFaults():
        person.replace(resource_of(ctx, present))
    return await _replace(ctx, present, person, Context.RESOURCE_REPLACEMENT_RESPONSE)


@router.patch("/Users/{userId}")
@operation(Scope.ROLE, Action.SCIM_WRITE, ActionCode.UPDATE, Content.DIRECTORY, dialect=SCIM)
async def patch_user(ctx: RoleContext, user_id: UserIdPath, raw: bytes) -> Message:
    """Change what of a user is named; ``active`` false suspends at once."""
    patch = load(PatchOp[Person].model_validate, raw, Context.RESOURCE_PATCH_REQUEST)
    present = await _held(ctx, user_id)
    person = resource_of(ctx, present)
    with ScimFaults():
        patch.patch(person, scim_policy=PROVIDER.policy)
    return await _replace(ctx, present, person, Context.RESOURCE_PATCH_RESPONSE)


@router.delete("/Users/{userId}", status_code=204)
@operation(Scope.ROLE, Action.SCIM_WRITE, ActionCode.DELETE, Content.DIRECTORY, dialect=SCIM)
async def end_user(ctx: RoleContext, user_id: UserIdPath) -> None:
    """End an engagement at once; refused while cases would be left to nobody."""
    present = await _held(ctx, user_id)
    _took_effect(ctx, await provisioning.end(ctx.db, ctx.permit, present.person))
    ctx.headers.pop("ETag", None)
    ctx.touch(Touch("engagement", user_id))


async def _held(ctx: RoleContext, engagement_id: UUID) -> provisioning.User:
    present = await provisioning.held(ctx.db, ctx.permit, ctx.crypto, engagement_id)
    if ctx.if_match is not None:
        ctx.require_match(*present.version())
    return present


async def _replace(ctx: RoleContext, present: provisioning.User, person: Any, context: Context) -> Message:
    wanted = wanted_of(person, active=present.person.suspended_at is None)
    _took_effect(ctx, await provisioning.replace(ctx.db, ctx.permit, ctx.crypto, present, wanted))
    return await _one(ctx, present.person.id, context)


# What this service is


def _config(ctx: RoleContext) -> ServiceProviderConfig:
    return ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=COUNT_MAX),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=True),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="OAuth bearer token",
                description="A client's access token with scope scim:read or scim:write.",
                primary=True,
            )
        ],
        meta=Meta(resource_type="ServiceProviderConfig", location=location(ctx, "ServiceProviderConfig")),
    )


@router.get("/ServiceProviderConfig")
@operation(Scope.ROLE, Action.SCIM_READ, ActionCode.READ, Content.NONE, dialect=SCIM)
async def read_config(ctx: RoleContext) -> Message:
    """Say what of the standard this service does."""
    return message(_config(ctx), Context.RESOURCE_QUERY_RESPONSE)


def _located(ctx: RoleContext, kind: str, items: Iterator[Resource[Any]]) -> list[Any]:
    located = []
    for one in items:
        meta = Meta(resource_type=kind.removesuffix("s"), location=location(ctx, kind, str(one.id)))
        located.append(one.model_copy(update={"meta": meta}))
    return located


def _types(ctx: RoleContext) -> list[Any]:
    return _located(ctx, "ResourceTypes", iter(PROVIDER.resource_types))


def _schemas(ctx: RoleContext) -> list[Any]:
    return _located(ctx, "Schemas", iter(PROVIDER.schemas))


def _listed(model: Any, items: list[Any]) -> Message:
    answer = ListResponse[model](total_results=len(items), start_index=1, items_per_page=len(items), resources=items)
    return message(answer, Context.RESOURCE_QUERY_RESPONSE)


@router.get("/ResourceTypes")
@operation(Scope.ROLE, Action.SCIM_READ, ActionCode.READ, Content.NONE, dialect=SCIM)
async def list_resource_types(ctx: RoleContext) -> Message:
    """List the kinds of resources: users."""
    return _listed(ResourceType, _types(ctx))


@router.get("/ResourceTypes/User")
@operation(Scope.ROLE, Action.SCIM_READ, ActionCode.READ, Content.NONE, dialect=SCIM)
async def read_resource_type(ctx: RoleContext) -> Message:
    """Show the kind of resource that there is."""
    return message(_types(ctx)[0], Context.RESOURCE_QUERY_RESPONSE)


@router.get("/Schemas")
@operation(Scope.ROLE, Action.SCIM_READ, ActionCode.READ, Content.NONE, dialect=SCIM)
async def list_schemas(ctx: RoleContext) -> Message:
    """List the schemas of a user: the standard's two and ours."""
    return _listed(Schema, _schemas(ctx))


def _schema_route(index: int, urn: str) -> None:
    @router.get(f"/Schemas/{urn}", name=f"read_schema_{index}")
    @operation(Scope.ROLE, Action.SCIM_READ, ActionCode.READ, Content.NONE, dialect=SCIM)
    async def read_schema(ctx: RoleContext) -> Message:
        """Show one schema."""
        return message(_schemas(ctx)[index], Context.RESOURCE_QUERY_RESPONSE)


for _index, _schema in enumerate(PROVIDER.schemas):
    _schema_route(_index, str(_schema.id))
