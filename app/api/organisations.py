"""Organisations: what they are registered with, how they stand, and the people one can invite."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field

from app.access.vocabulary import Action, Role
from app.api.bodies import Body, Day, Text
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, OrganisationRef, PageQuery, PersonRef, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.core.ids import OrganisationId
from app.entitlement import offices
from app.entitlement.offices import Reached
from app.identity import service as identity
from app.identity.offices import organisations
from app.identity.offices.organisations import Organisation
from app.identity.offices.rules import OfficeStatus, OrganisationKind, Registrations

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["organisations"])

OrganisationIdPath = Annotated[UUID, Path(alias="organisationId", description="The organisation.")]
Agb = Annotated[str, Field(pattern=r"^[0-9]{8}$", description="AGB code of the organisation.")]
Ura = Annotated[str, Field(pattern=r"^[0-9]{1,8}$", description="URA (abonneenummer), leading zeros or not.")]
Oin = Annotated[str, Field(pattern=r"^[0-9]{20}$", description="OIN, the number of a public body.")]
Kvk = Annotated[str, Field(pattern=r"^[0-9]{8}$", description="Number at the chamber of commerce.")]
MunicipalityCode = Annotated[str, Field(pattern=r"^[0-9]{4}$", description="CBS code of a municipality.")]
NAME = Text(1, 200)


class OrganisationIn(Body):
    """An organisation to create. A GP practice has an AGB code or a URA; a municipality its OIN and its code."""

    kind: OrganisationKind
    name: Annotated[str, NAME]
    agb: Agb | None = None
    ura: Ura | None = None
    oin: Oin | None = None
    kvk: Kvk | None = None
    municipality_code: MunicipalityCode | None = None


class OrganisationChangeIn(Body):
    """What changes: a member that is absent stays, a registration that is null goes. The kind never changes."""

    name: Annotated[str, NAME] | None = None
    agb: Agb | None = None
    ura: Ura | None = None
    oin: Oin | None = None
    kvk: Kvk | None = None
    municipality_code: MunicipalityCode | None = None


class OrganisationMergerIn(Body):
    """Which organisation it merges into."""

    into_organisation_id: UUID


class AgreementIn(Body):
    """The cooperation agreement that was signed, and the day."""

    reference: Annotated[str, Text(1, 200)]
    signed_on: Day


class OrganisationOut(OrganisationRef):
    """An organisation of the region."""

    kind: str


class OrganisationsOut(Out):
    """Organisations, by name."""

    items: list[OrganisationOut]
    next_cursor: str | None


class AgreementOut(Out):
    """A recorded cooperation agreement; without one an organisation crosses no border."""

    reference: str
    signed_on: date


class PeopleOut(Out):
    """How many people work there in one role; whoever has two roles counts in both."""

    role: Role
    people: int


class OrganisationDetailOut(OrganisationRef):
    """An organisation as whoever administers it sees it."""

    kind: OrganisationKind
    status: OfficeStatus
    merged_into_organisation_id: UUID | None
    agb: str | None
    ura: str | None
    oin: str | None
    kvk: str | None
    municipality_code: str | None
    cooperation_agreement: AgreementOut | None
    people: list[PeopleOut]
    created_at: At


class AccountsOut(Out):
    """People who can be invited."""

    items: list[PersonRef]
    next_cursor: str | None


class AccountsQuery(PageQuery):
    """Of which organisation and role; all when absent."""

    organisation_id: UUID | None = None
    role: Annotated[Role | None, Field(description="Role class.")] = None


async def render_organisation(ctx: RoleContext, organisation_id: UUID) -> OrganisationDetailOut:
    """Return an organisation with its ETag, and note that it was touched."""
    found = await organisations.read(ctx.db, ctx.permit, organisation_id)
    people = await organisations.people_by_role(ctx.db, ctx.permit, organisation_id)
    ctx.touch(Touch("organisation", organisation_id))
    ctx.etag(found.state())
    return _detail(found, [PeopleOut(role=role, people=count) for role, count in people.items()])


def _detail(found: Organisation, people: list[PeopleOut]) -> OrganisationDetailOut:
    agreement = None
    if found.agreement_reference is not None and found.agreement_on is not None:
        agreement = AgreementOut(reference=found.agreement_reference, signed_on=found.agreement_on)
    numbers = found.registrations
    return OrganisationDetailOut(
        id=found.id,
        name=found.name,
        kind=found.kind,
        status=found.status,
        merged_into_organisation_id=found.merged_into_id,
        agb=numbers.agb,
        ura=numbers.ura,
        oin=numbers.oin,
        kvk=numbers.kvk,
        municipality_code=numbers.municipality_code,
        cooperation_agreement=agreement,
        people=people,
        created_at=found.created_at,
    )


def note_reach(ctx: RoleContext, reached: Reached) -> None:
    """Let the sockets know after the commit what moved and what ended."""
    ctx.moved.update(reached.cases)
    ctx.ended_sessions.update(reached.sessions)


@router.get("/organisations")
@operation(Scope.ROLE, Action.ORGANISATION_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_organisations(ctx: RoleContext, query: PageQuery) -> OrganisationsOut:
    """List the organisations of the region, by name."""
    found = await identity.list_organisations(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, found, query, "organisations", lambda organisation: organisation.id)
    items = [
        OrganisationOut(id=organisation.id, name=organisation.name, kind=organisation.kind) for organisation in shown
    ]
    return OrganisationsOut(items=items, next_cursor=cursor)


@router.get("/accounts")
@operation(Scope.ROLE, Action.ACCOUNT_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_accounts(ctx: RoleContext, query: AccountsQuery) -> AccountsOut:
    """List the professionals one can invite; never citizens and their relatives."""
    found = await identity.list_engagements(
        ctx.db, ctx.permit, organisation_id=query.organisation_id, role=query.role
    )
    label = f"accounts:{query.organisation_id}:{query.role}"
    shown, cursor = page_of(ctx, found, query, label, lambda engagement: engagement)
    people = await ctx.services.directory.people(shown)
    return AccountsOut(items=[person_ref(people[engagement]) for engagement in shown], next_cursor=cursor)


@router.post("/organisations", status_code=201)
@operation(Scope.ROLE, Action.ORGANISATION_CREATE, ActionCode.CREATE, Content.DIRECTORY, replay=render_organisation)
async def create_organisation(ctx: RoleContext, body: OrganisationIn) -> OrganisationDetailOut:
    """Create an organisation; it crosses no border until its cooperation agreement is recorded."""
    given = Registrations(body.agb, body.ura, body.oin, body.kvk, body.municipality_code)
    await organisations.create(
        ctx.db, ctx.permit, OrganisationId(ctx.resource_id), kind=body.kind, name=body.name, given=given
    )
    return await render_organisation(ctx, ctx.resource_id)


@router.get("/organisations/{organisationId}")
@operation(Scope.ROLE, Action.ORGANISATION_READ, ActionCode.READ, Content.DIRECTORY)
async def read_organisation(ctx: RoleContext, organisation_id: OrganisationIdPath) -> OrganisationDetailOut:
    """Return an organisation: any to who administers the region, else one's own; its ETag is for changes."""
    return await render_organisation(ctx, organisation_id)


@router.patch("/organisations/{organisationId}")
@operation(Scope.ROLE, Action.ORGANISATION_CHANGE, ActionCode.UPDATE, Content.DIRECTORY)
async def change_organisation(
    ctx: RoleContext, organisation_id: OrganisationIdPath, body: OrganisationChangeIn
) -> OrganisationDetailOut:
    """Change name or registrations, based on the ETag in If-Match: whoever comes second reads again."""
    found = await organisations.lock(ctx.db, ctx.permit, organisation_id)
    ctx.require_match(found.state())
    given = {name: getattr(body, name) for name in body.model_fields_set - {"name"}}
    await organisations.change(ctx.db, ctx.permit, found, name=body.name, given=given)
    return await render_organisation(ctx, organisation_id)


@router.post("/organisations/{organisationId}/suspension", status_code=201)
@operation(Scope.ROLE, Action.ORGANISATION_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def suspend_organisation(ctx: RoleContext, organisation_id: OrganisationIdPath) -> OrganisationDetailOut:
    """Stop everybody of an organisation at once: sessions end, sockets close, nothing is open to them any more."""
    note_reach(ctx, await offices.suspend_organisation(ctx.db, ctx.permit, organisation_id))
    return await render_organisation(ctx, organisation_id)


@router.post("/organisations/{organisationId}/resumption", status_code=201)
@operation(Scope.ROLE, Action.ORGANISATION_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def resume_organisation(ctx: RoleContext, organisation_id: OrganisationIdPath) -> OrganisationDetailOut:
    """Undo a suspension; whoever was logged out logs in again."""
    note_reach(ctx, await offices.resume_organisation(ctx.db, ctx.permit, organisation_id))
    return await render_organisation(ctx, organisation_id)


@router.post("/organisations/{organisationId}/merger", status_code=201)
@operation(Scope.ROLE, Action.ORGANISATION_MERGE, ActionCode.UPDATE, Content.DIRECTORY)
async def merge_organisation(
    ctx: RoleContext, organisation_id: OrganisationIdPath, body: OrganisationMergerIn
) -> OrganisationDetailOut:
    """Merge an organisation into another: it keeps its name on what it did, the other manages its people."""
    await organisations.merge(ctx.db, ctx.permit, organisation_id, body.into_organisation_id)
    ctx.touch(Touch("organisation", body.into_organisation_id))
    return await render_organisation(ctx, organisation_id)


@router.post("/organisations/{organisationId}/cooperation-agreement", status_code=201)
@operation(Scope.ROLE, Action.ORGANISATION_AGREE, ActionCode.UPDATE, Content.DIRECTORY)
async def record_agreement(
    ctx: RoleContext, organisation_id: OrganisationIdPath, body: AgreementIn
) -> OrganisationDetailOut:
    """Record the signed cooperation agreement; from now on the organisation may work with others."""
    await organisations.record_agreement(
        ctx.db, ctx.permit, organisation_id, reference=body.reference, signed_on=body.signed_on
    )
    return await render_organisation(ctx, organisation_id)
