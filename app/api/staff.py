"""An organisation's people: engaging, confirming, suspending, and the file that does it for many at once."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from app.access.vocabulary import Action, Domain, Law, Role
from app.api.bodies import Body, Instant, Text, unfit
from app.api.deps import RoleContext, SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, PageQuery, page_of
from app.audit.records import ActionCode, Touch
from app.core.errors import NotFound
from app.core.ids import EngagementId
from app.entitlement import onboarding, staffing
from app.entitlement.staffing import Effects, Newcomer
from app.identity import staff
from app.identity.capacity import EMPLOYEE_NUMBER, WORD, Capacity, domain_of, full_name
from app.identity.roster import LINES_MAX, OPTIONAL, REQUIRED
from app.identity.staff import Colleague, State

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["staff"])

OrganisationIdPath = Annotated[UUID, Path(alias="organisationId", description="The organisation.")]
EngagementIdPath = Annotated[UUID, Path(alias="engagementId", description="The engagement.")]
AccountIdPath = Annotated[UUID, Path(alias="accountId", description="The account.")]

CSV_CHARS_MAX = 500_000
CONFIRMED_AT_ONCE_MAX = 500
LINK = "/activeren#"


class PersonName(Body):
    """A name in parts; ``prefix`` is the Dutch tussenvoegsel."""

    given: Annotated[str, Text(1, 100)]
    family: Annotated[str, Text(1, 100)]
    prefix: Annotated[str, Text(1, 40)] | None = None


class Register(StrEnum):
    """A register of professionals."""

    UZI = "uzi"
    BIG = "big"
    AGB = "agb"


class RegistrationIn(Body):
    """A number that a register gave."""

    kind: Register
    number: Annotated[str, Field(pattern=r"^[0-9]{8,11}$")]


class EngagementIn(Body):
    """Somebody to engage: by name when new, by account when of this organisation, else by a code they hand over."""

    account_id: UUID | None = None
    handover_code: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")] | None = None
    name: PersonName | None = None
    role: Role
    profession: Annotated[str, Field(pattern=WORD)]
    speciality: Annotated[str, Field(pattern=WORD)] | None = None
    domain: Domain | None = None
    law: Law | None = None
    responsible_engagement_id: UUID | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    employee_number: Annotated[str, Field(pattern=EMPLOYEE_NUMBER)] | None = None
    registrations: Annotated[tuple[RegistrationIn, ...], Field(max_length=3)] = ()

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if [self.account_id, self.handover_code, self.name].count(None) != 2:
            raise unfit("who", "Give one of name, accountId and handoverCode.")
        if len({one.kind for one in self.registrations}) < len(self.registrations):
            raise unfit("registration-twice", "Each register can be named once.")
        return self


class EngagementChangeIn(Body):
    """What to change; a member that is absent stays as it is, and null takes it away."""

    speciality: Annotated[str, Field(pattern=WORD)] | None = None
    employee_number: Annotated[str, Field(pattern=EMPLOYEE_NUMBER)] | None = None
    valid_until: Instant | None = None
    responsible_engagement_id: UUID | None = None


class ConfirmationsIn(Body):
    """Whose engagements to confirm."""

    engagement_ids: Annotated[list[UUID], Field(min_length=1, max_length=CONFIRMED_AT_ONCE_MAX)]


class StaffImportIn(Body):
    """A file of people; a dry run changes nothing and says what would happen."""

    csv: Annotated[
        str,
        Field(
            min_length=1,
            max_length=CSV_CHARS_MAX,
            description=(
                f"RFC 4180 in UTF-8, cells separated by ';' or ',', at most {LINES_MAX} lines below a header. Columns"
                f" that must be there: {', '.join(REQUIRED)}. Columns that may: {', '.join(OPTIONAL)}. Days are"
                " written 2026-01-31; validUntil is the last day. No cell begins as a formula does."
            ),
        ),
    ]
    dry_run: bool = True


class EnrolmentOut(Out):
    """A one-time code, shown now and never again; the link carries it where no server sees it."""

    code: str
    link: str
    expires_at: At


class RegistrationOut(Out):
    """A number that a register gave."""

    kind: Register
    number: str


class StaffMemberOut(Out):
    """An engagement as those who manage it see it; ``enrolment`` only when a new account was made just now."""

    id: UUID
    account_id: UUID
    organisation_id: UUID
    name: str
    role: Role
    profession: str
    speciality: str | None
    domain: Domain | None
    law: Law | None
    responsible_engagement_id: UUID | None
    valid_from: At
    valid_until: At | None
    suspended_at: At | None
    confirmed_until: At | None
    employee_number: str | None
    registrations: list[RegistrationOut]
    state: State
    enrolment: EnrolmentOut | None


class StaffMembersOut(Out):
    """People of an organisation, whoever began last first."""

    items: list[StaffMemberOut]
    next_cursor: str | None


class ConfirmationsOut(Out):
    """The engagements that were confirmed."""

    items: list[StaffMemberOut]
    next_cursor: None


class CellFaultOut(Out):
    """What is wrong in a line; without a column it is the line itself."""

    column: str | None
    code: str
    detail: str


class ImportLineOut(Out):
    """What happens, or would happen, with one line of the file; the header is line 1."""

    line: int
    outcome: onboarding.Outcome
    errors: list[CellFaultOut]
    engagement_id: UUID | None
    enrolment: EnrolmentOut | None


class StaffImportOut(Out):
    """What happened with each line of the file."""

    dry_run: bool
    items: list[ImportLineOut]
    next_cursor: None


class HandoverOut(Out):
    """A one-time code by which another organisation may add one engagement to one's own account."""

    code: str
    expires_at: At


class StaffQuery(PageQuery):
    """Which people: of a role, in a state, or whose confirmation runs out before an instant."""

    role: Annotated[Role | None, Field(description="Role class.")] = None
    state: Annotated[State | None, Field(description="How the engagement stands.")] = None
    confirm_before: Annotated[
        datetime | None, Field(description="Whose confirmation runs out before this instant.")
    ] = None

    @model_validator(mode="after")
    def _aware(self) -> Self:
        if self.confirm_before is not None and self.confirm_before.tzinfo is None:
            raise unfit("not-an-instant", "This must be a date and time with offset, such as 2026-01-31T09:30:00Z.")
        return self


def enrolment_out(ctx: RoleContext, code: str) -> EnrolmentOut:
    """Return a code with the link that opens it."""
    return EnrolmentOut(
        code=code,
        link=f"{ctx.services.settings.base_url}{LINK}{code}",
        expires_at=ctx.now + staffing.ENROLMENT_LIFETIME,
    )


async def _shown(ctx: RoleContext, people: list[Colleague], codes: dict[UUID, str]) -> list[StaffMemberOut]:
    names = await staff.names(ctx.crypto, people)
    ctx.touch(*(Touch("engagement", person.id) for person in people))
    return [
        StaffMemberOut(
            id=one.id,
            account_id=one.account_id,
            organisation_id=one.organisation_id,
            name=names[one.id],
            role=one.role,
            profession=one.profession,
            speciality=one.speciality,
            domain=one.domain,
            law=one.law,
            responsible_engagement_id=one.responsible_id,
            valid_from=one.valid_from,
            valid_until=one.valid_until,
            suspended_at=one.suspended_at,
            confirmed_until=one.confirmed_until,
            employee_number=one.employee_number,
            registrations=[
                RegistrationOut(kind=Register(kind), number=number)
                for kind, number in sorted(one.registrations.items())
            ],
            state=one.state,
            enrolment=enrolment_out(ctx, codes[one.id]) if one.id in codes else None,
        )
        for one in people
    ]


async def _render(ctx: RoleContext, engagement_id: UUID, code: str | None = None) -> StaffMemberOut:
    found = await staff.find(ctx.db, ctx.permit, engagement_id)
    if found is None:
        raise NotFound
    ctx.etag(found.editable())
    (shown,) = await _shown(ctx, [found], {} if code is None else {engagement_id: code})
    return shown


async def render_engagement(ctx: RoleContext, engagement_id: UUID) -> StaffMemberOut:
    """Return an engagement that the actor manages, for a retry: without the code."""
    return await _render(ctx, engagement_id)


def _took_effect(ctx: RoleContext, effects: Effects) -> None:
    ctx.moved |= effects.cases
    ctx.ended_sessions |= effects.sessions


@router.get("/organisations/{organisationId}/engagements")
@operation(Scope.ROLE, Action.ENGAGEMENT_LIST, ActionCode.READ, Content.DIRECTORY)
async def list_engagements(
    ctx: RoleContext, organisation_id: OrganisationIdPath, query: StaffQuery
) -> StaffMembersOut:
    """List an organisation's people, with what confirms them and until when."""
    if not await staff.manages(ctx.db, ctx.permit, organisation_id):
        raise NotFound
    found = [
        one
        for one in await staff.colleagues(ctx.db, ctx.permit, organisation_id)
        if query.role in (None, one.role)
        and query.state in (None, one.state)
        and (
            query.confirm_before is None
            or (one.confirmed_until is not None and one.confirmed_until < query.confirm_before)
        )
    ]
    label = f"staff:{organisation_id}:{query.role}:{query.state}:{query.confirm_before}"
    shown, cursor = page_of(ctx, found, query, label, lambda one: one.id)
    return StaffMembersOut(items=await _shown(ctx, list(shown), {}), next_cursor=cursor)


@router.post("/organisations/{organisationId}/engagements", status_code=201)
@operation(Scope.ROLE, Action.ENGAGEMENT_CREATE, ActionCode.CREATE, Content.DIRECTORY, replay=render_engagement)
async def create_engagement(
    ctx: RoleContext, organisation_id: OrganisationIdPath, body: EngagementIn
) -> StaffMemberOut:
    """Engage somebody; whoever is new gets a one-time code, which is shown once and works for seven days."""
    responsible = body.responsible_engagement_id
    newcomer = Newcomer(
        capacity=Capacity(
            role=body.role,
            profession=body.profession,
            speciality=body.speciality,
            domain=domain_of(body.role, body.domain),
            law=body.law,
            responsible_id=None if responsible is None else EngagementId(responsible),
        ),
        name=None if body.name is None else full_name(body.name.given, body.name.family, body.name.prefix),
        account_id=body.account_id,
        handover_code=body.handover_code,
        valid_from=body.valid_from,
        valid_until=body.valid_until,
        employee_number=body.employee_number,
        registrations={one.kind.value: one.number for one in body.registrations},
    )
    made = await staffing.engage(
        ctx.db, ctx.permit, ctx.crypto, organisation_id, newcomer, EngagementId(ctx.resource_id)
    )
    ctx.moved |= set(made.cases)
    return await _render(ctx, made.engagement_id, made.code)


@router.get("/engagements/{engagementId}")
@operation(Scope.ROLE, Action.ENGAGEMENT_LIST, ActionCode.READ, Content.DIRECTORY)
async def read_engagement(ctx: RoleContext, engagement_id: EngagementIdPath) -> StaffMemberOut:
    """Show an engagement, with the ETag that a change is based on."""
    return await _render(ctx, engagement_id)


@router.patch("/engagements/{engagementId}")
@operation(Scope.ROLE, Action.ENGAGEMENT_CHANGE, ActionCode.UPDATE, Content.DIRECTORY)
async def change_engagement(
    ctx: RoleContext, engagement_id: EngagementIdPath, body: EngagementChangeIn
) -> StaffMemberOut:
    """Change speciality, employee number, end or responsible GP; ``If-Match`` says what the change is based on."""
    person = await staffing.changeable(ctx.db, ctx.permit, engagement_id)
    ctx.require_match(person.editable())
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    _took_effect(ctx, await staffing.change(ctx.db, ctx.permit, person, changes))
    return await _render(ctx, engagement_id)


@router.post("/engagements/{engagementId}/suspension", status_code=201)
@operation(Scope.ROLE, Action.ENGAGEMENT_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def suspend_engagement(ctx: RoleContext, engagement_id: EngagementIdPath) -> StaffMemberOut:
    """Suspend an engagement at once: what it opened closes, and the sessions that live by it end."""
    person = await staffing.changeable(ctx.db, ctx.permit, engagement_id)
    _took_effect(ctx, await staffing.suspend(ctx.db, ctx.permit, person))
    return await _render(ctx, engagement_id)


@router.post("/engagements/{engagementId}/resumption", status_code=201)
@operation(Scope.ROLE, Action.ENGAGEMENT_SUSPEND, ActionCode.UPDATE, Content.DIRECTORY)
async def resume_engagement(ctx: RoleContext, engagement_id: EngagementIdPath) -> StaffMemberOut:
    """Let a suspended engagement work again."""
    person = await staffing.changeable(ctx.db, ctx.permit, engagement_id)
    _took_effect(ctx, await staffing.resume(ctx.db, ctx.permit, person))
    return await _render(ctx, engagement_id)


@router.post("/engagements/{engagementId}/confirmation", status_code=201)
@operation(Scope.ROLE, Action.ENGAGEMENT_CONFIRM, ActionCode.UPDATE, Content.DIRECTORY)
async def confirm_engagement(ctx: RoleContext, engagement_id: EngagementIdPath) -> StaffMemberOut:
    """Confirm that somebody still works here: the engagement holds for another year."""
    person = await staffing.changeable(ctx.db, ctx.permit, engagement_id)
    _took_effect(ctx, await staffing.confirm(ctx.db, ctx.permit, person.organisation_id, [engagement_id]))
    return await _render(ctx, engagement_id)


@router.post("/organisations/{organisationId}/confirmations", status_code=201)
@operation(Scope.ROLE, Action.ENGAGEMENT_CONFIRM, ActionCode.UPDATE, Content.DIRECTORY)
async def confirm_engagements(
    ctx: RoleContext, organisation_id: OrganisationIdPath, body: ConfirmationsIn
) -> ConfirmationsOut:
    """Confirm many at once; all of them or none."""
    ids = body.engagement_ids
    _took_effect(ctx, await staffing.confirm(ctx.db, ctx.permit, organisation_id, ids))
    people = await staff.colleagues(ctx.db, ctx.permit, organisation_id, ids=ids)
    return ConfirmationsOut(items=await _shown(ctx, people, {}), next_cursor=None)


@router.post("/accounts/{accountId}/enrolment-codes", status_code=201)
@operation(Scope.ROLE, Action.ENROLMENT_ISSUE, ActionCode.CREATE, Content.NONE)
async def issue_enrolment_code(ctx: RoleContext, account_id: AccountIdPath) -> EnrolmentOut:
    """Make a fresh link for somebody who never used the first one, which is void from now on."""
    code = await staffing.issue_code(ctx.db, ctx.permit, ctx.crypto, account_id)
    ctx.touch(Touch("account", account_id))
    return enrolment_out(ctx, code)


@router.post("/engagement-codes", status_code=201)
@operation(Scope.SELF, Action.ENGAGEMENT_OFFER, ActionCode.CREATE, Content.NONE)
async def offer_engagement_code(ctx: SelfContext) -> HandoverOut:
    """Make a one-time code that lets another organisation add an engagement to one's own account, within a day."""
    code, until = await staffing.offer_handover(ctx.db, ctx.permit, ctx.crypto)
    ctx.touch(Touch("account", ctx.actor.account_id))
    return HandoverOut(code=code, expires_at=until)


@router.post(
    "/organisations/{organisationId}/staff-imports",
    status_code=201,
    responses={200: {"model": StaffImportOut, "description": "What a dry run found; nothing was changed."}},
)
@operation(Scope.ROLE, Action.STAFF_IMPORT, ActionCode.CREATE, Content.DIRECTORY)
async def import_staff(ctx: RoleContext, organisation_id: OrganisationIdPath, body: StaffImportIn) -> StaffImportOut:
    """Engage and change many people from a file, all or nothing; the same file again changes nothing."""
    done = await onboarding.import_staff(
        ctx.db, ctx.permit, ctx.crypto, organisation_id, body.csv, dry_run=body.dry_run
    )
    _took_effect(ctx, done.effects)
    if body.dry_run:
        ctx.status = 200
    ctx.touch(Touch("organisation", organisation_id))
    if not body.dry_run:
        ctx.touch(*(Touch("engagement", one.engagement_id) for one in done.lines if one.engagement_id))
    items = [
        ImportLineOut(
            line=one.line,
            outcome=one.outcome,
            errors=[CellFaultOut(column=f.column, code=f.code, detail=f.detail) for f in one.faults],
            engagement_id=one.engagement_id,
            enrolment=None if one.code is None else enrolment_out(ctx, one.code),
        )
        for one in done.lines
    ]
    return StaffImportOut(dry_run=body.dry_run, items=items, next_cursor=None)
