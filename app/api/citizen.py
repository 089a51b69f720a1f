"""The citizen's side in everyday Dutch: what is asked of me, who may see what and why, who looked."""

from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.engine import RowMapping

from app.access.action_labels import action_label
from app.access.labels import CATEGORIES, DOMAINS, ROLES, ground_label, purpose_label
from app.access.vocabulary import Action, Category, ConsentKind, Domain, Ground, Purpose, Role
from app.api.bodies import Instant
from app.api.cases import people_of
from app.api.consent_bodies import RecipientOut
from app.api.deps import CaseContext, SelfContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At, OrganisationRef, PageQuery, PersonRef, before, next_cursor, page_of, person_ref
from app.audit.records import ActionCode, Touch
from app.consent.bundles import BY_CODE
from app.consent.decisions import Status
from app.consent.wording import asked_in_words, until_in_words
from app.core.ids import CaseId, PatientId
from app.entitlement import citizen
from app.entitlement import service as entitlement
from app.identity.directory import Person

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["citizen"])


class CategoryOut(Out):
    """A category in everyday words, with an example and what does not belong to it."""

    category: Category
    label: str
    example: str
    not_here: str


class AskedOut(Out):
    """Something that is asked of me, in plain Dutch; ``consentId`` is what is decided about.

    ``question`` says whether it works both ways and until when a yes holds.
    """

    consent_id: UUID
    case_id: UUID
    patient_id: UUID
    status: str
    question: str
    bundle: str | None
    recipients: list[str]
    from_labels: list[str]
    categories: list[CategoryOut]
    purpose: str
    both_ways: bool
    valid_until: At | None
    asked_by: PersonRef | None
    asked_at: At


class AskedListOut(Out):
    """What is asked of me, newest first."""

    items: list[AskedOut]
    next_cursor: str | None


class ChangeOut(Out):
    """By what a cell is closed: a part taken out of ``consentId``, an objection to treatment, or an exclusion.

    ``recipients`` are those of the consent by which the member holds the cell; none, where it is held in answer.
    """

    by: citizen.DoorKind
    consent_id: UUID | None
    recipients: list[RecipientOut]


class HeldOut(Out):
    """On what a cell is open, whether to write, and by what that is changed, if by anything that is the actor's."""

    may_write: bool
    ground: Ground
    why: str
    consent_id: UUID | None
    valid_until: At | None
    change: ChangeOut | None


class MatrixCellOut(HeldOut):
    """One category of somebody: the widest right to it and the strongest ground of that.

    ``alsoBecause`` are the others that it rests on as well: it stays open until each of them is gone.
    """

    category: Category
    label: str
    domain: Domain
    domain_label: str
    also_because: list[HeldOut]


class MatrixRowOut(Out):
    """Somebody, and what they may see of one person by one seat; a substitute, by the seat of ``onBehalfOf``."""

    member_id: UUID
    person: PersonRef | None
    on_behalf_of: PersonRef | None
    patient_id: UUID
    cells: list[MatrixCellOut]


class _Row(NamedTuple):
    """Whose row of the matrix it is: by which seat somebody sees whom, and for whom they do."""

    member_id: UUID
    engagement_id: UUID
    on_behalf_of: UUID | None
    patient_id: UUID


class MatrixOut(Out):
    """Who may see what, somebody by somebody; what is not named is closed."""

    items: list[MatrixRowOut]
    next_cursor: str | None


class LookedQuery(PageQuery):
    """In which period; the last thirty days when absent. ``from`` is inclusive, ``to`` exclusive."""

    from_: Instant | None = Field(default=None, alias="from")
    to: Instant | None = None


class LookedOut(Out):
    """That somebody of an organisation looked at or changed something about me; ``times`` that day, first at ``at``.

    No employee is named (NEN 7513, 8.4.1).
    """

    at: At
    times: int
    patient_id: UUID
    case_id: UUID | None
    organisation: OrganisationRef | None
    role: str | None
    role_label: str | None
    responsible_role: str | None
    action: str
    action_label: str
    action_code: str
    outcome: str
    category: str | None
    label: str | None
    domain: str | None
    ground: str | None
    why: str | None
    consent_id: UUID | None
    emergency: bool


class LookedListOut(Out):
    """Who looked, newest first."""

    items: list[LookedOut]
    next_cursor: str | None


def _category(category: Category) -> CategoryOut:
    label = CATEGORIES[category]
    return CategoryOut(category=category, label=label.name, example=label.example, not_here=label.not_here)


def _recipient(one: dict[str, Any], people: dict[UUID, Person]) -> str:
    if one["name"]:
        return str(one["name"])
    person = people.get(UUID(one["engagement"])) if one["engagement"] else None
    if person is not None:
        place = f", {person.organisation}" if person.organisation else ""
        return f"{person.name} ({ROLES[person.role]}{place})"
    return (
        f"iedereen aan tafel met de rol {ROLES[Role(one['role'])]}" if one["role"] else "iemand die er niet meer is"
    )


def _asked(ctx: SelfContext, row: RowMapping, people: dict[UUID, Person]) -> AskedOut:
    recipients = [_recipient(one, people) for one in row["recipients"] or []]
    found = [_category(Category(one)) for one in row["categories"]]
    purpose = purpose_label(Purpose(row["purpose"]))
    whose = " en ".join(DOMAINS[Domain(one)] for one in row["from_domains"])
    asker = people.get(row["recorded_by_engagement_id"])
    represents = ctx.actor.role is Role.REPRESENTATIVE
    if represents and asker and asker.role is Role.REPRESENTATIVE and asker.account_id != ctx.actor.account_id:
        asker = None  # parents learn nothing of each other here
    asked = asked_in_words(
        to=recipients,
        whose=whose,
        about=[one.label for one in found],
        purpose=purpose,
        for_another=represents,
        both_ways=row["both_ways"] if row["kind"] == ConsentKind.LIFT_SECRECY else None,
    )
    bundle = BY_CODE.get(row["bundle"]) if row["bundle"] else None
    return AskedOut(
        consent_id=row["id"],
        case_id=row["case_id"],
        patient_id=row["patient_id"],
        status=Status.PROPOSED if row["status"] == Status.REFUSED else row["status"],
        question=f"{asked} {until_in_words(row['valid_until'])} U mag nee zeggen.",
        bundle=bundle.name if bundle else None,
        recipients=recipients,
        from_labels=[DOMAINS[Domain(one)] for one in row["from_domains"]],
        categories=found,
        purpose=purpose,
        both_ways=row["both_ways"],
        valid_until=row["valid_until"],
        asked_by=person_ref(asker) if asker else None,
        asked_at=row["recorded_at"],
    )


@router.get("/me/consent-requests")
@operation(Scope.SELF, Action.CONSENT_REQUEST_LIST, ActionCode.READ, Content.CASE)
async def list_consent_requests(ctx: SelfContext, query: PageQuery) -> AskedListOut:
    """List what is asked of me, or of me for whom I represent, and not decided yet, in plain Dutch."""
    rows = await citizen.asked_of_me(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, rows, query, "consent-requests", lambda row: row["id"])
    engagements = {row["recorded_by_engagement_id"] for row in shown}
    engagements |= {UUID(one["engagement"]) for row in shown for one in row["recipients"] or [] if one["engagement"]}
    people = dict(await ctx.services.directory.people(engagements))
    ctx.touch(*(Touch("consent", row["id"], CaseId(row["case_id"]), PatientId(row["patient_id"])) for row in shown))
    return AskedListOut(items=[_asked(ctx, row, people) for row in shown], next_cursor=cursor)


@router.get("/cases/{caseId}/matrix")
@operation(Scope.CASE, Action.CASE_ACCESS, ActionCode.READ, Content.CASE, entity=CASE)
async def read_matrix(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> MatrixOut:
    """Say who may see what and why, in everyday words. Subject and case manager see all, others their own.

    A representative sees it of whom they represent, within their scope and without other representatives. Each
    category is there once, with all that it rests on, and by what that is changed where it is for the actor to do.
    """
    rows = await entitlement.case_access(ctx.db, ctx.permit, ctx.now)
    table: dict[_Row, dict[tuple[Category, Domain], list[citizen.Held]]] = {}
    for row, door in zip(rows, await citizen.doors(ctx.db, ctx.permit, rows), strict=True):
        whose = _Row(row["member_id"], row["engagement_id"], row["on_behalf_of"], row["patient_id"])
        cell = Category(row["category"]), Domain(row["domain"])
        held = citizen.Held(Ground(row["ground"]), row["may_write"], row["consent_id"], row["valid_until"], door)
        table.setdefault(whose, {}).setdefault(cell, []).append(held)
    people = await people_of(ctx, rows)
    ctx.touch(*(case_touch(ctx.permit, "case", case_id, patient_id=PatientId(one.patient_id)) for one in table))
    shown, cursor = page_of(ctx, list(table), query, f"matrix:{case_id}", _row_id)
    found = [
        MatrixRowOut(
            member_id=one.member_id,
            person=people.get(one.engagement_id),
            on_behalf_of=people.get(one.on_behalf_of),
            patient_id=one.patient_id,
            cells=[_cell(category, domain, held) for (category, domain), held in table[one].items()],
        )
        for one in shown
    ]
    return MatrixOut(items=found, next_cursor=cursor)


def _row_id(whose: _Row) -> str:
    """Return what tells one row from the others, short enough for a cursor."""
    return sha256(repr(whose).encode()).hexdigest()


def _cell(category: Category, domain: Domain, held: list[citizen.Held]) -> MatrixCellOut:
    first, *others = (_held(one) for one in citizen.strongest_first(held))
    return MatrixCellOut(
        category=category,
        label=CATEGORIES[category].name,
        domain=domain,
        domain_label=DOMAINS[domain],
        also_because=others,
        **dict(first),
    )


def _held(one: citizen.Held) -> HeldOut:
    return HeldOut(
        may_write=one.may_write,
        ground=one.ground,
        why=ground_label(one.ground),
        consent_id=one.consent_id,
        valid_until=one.valid_until,
        change=_change(one.door) if one.door else None,
    )


def _change(door: citizen.Door) -> ChangeOut:
    recipients = [RecipientOut(type=one.type, id=one.id, role=one.role) for one in door.recipients]
    return ChangeOut(by=door.kind, consent_id=door.consent_id, recipients=recipients)


@router.get("/me/accesses")
@operation(Scope.SELF, Action.ACCESS_LOG_READ, ActionCode.READ, Content.LOG)
async def list_accesses(ctx: SelfContext, query: LookedQuery) -> LookedListOut:
    """List who looked at what is about me or whom I represent, by organisation and role, day by day."""
    period = citizen.period_of(query.from_, query.to, now=ctx.now)
    label = f"accesses:{query.from_}:{query.to}"
    start = before(ctx, query.cursor, label)
    rows = await citizen.who_looked(ctx.db, ctx.permit, period, before=start, limit=query.limit + 1)
    shown = rows[: query.limit]
    touched = {(row["case_id"], row["patient_id"]) for row in shown}
    ctx.touch(*(Touch("audit", None, case, patient) for case, patient in sorted(touched, key=str)))
    last: tuple[datetime, UUID] | None = (shown[-1]["at"], UUID(shown[-1]["id"])) if len(rows) > query.limit else None
    cursor = next_cursor(ctx, *last, label) if last else None
    return LookedListOut(items=[_looked(row) for row in shown], next_cursor=cursor)


def _looked(row: RowMapping) -> LookedOut:
    role, category, ground = row["actor_role"], row["category"], row["ground"]
    same = {name: row[name] for name in _SAME}
    organisation = None
    if row["organisation_id"] is not None and row["organisation"] is not None:
        organisation = OrganisationRef(id=row["organisation_id"], name=row["organisation"])
    return LookedOut(
        organisation=organisation,
        role=role,
        role_label=ROLES[Role(role)] if role else None,
        action_label=action_label(row["action"]),
        label=CATEGORIES[Category(category)].name if category in set(Category) else None,
        why=ground_label(Ground(ground)) if ground else None,
        emergency=ground == Ground.EMERGENCY,
        **same,
    )


_SAME = (
    *("at", "times", "patient_id", "case_id", "responsible_role", "action", "action_code", "outcome", "category"),
    *("domain", "ground", "consent_id"),
)
