"""The audit log for those who watch over it: who did or saw what, for whom, on which ground. Never content."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import OFFICIALS, PROFESSIONALS, Action, Role
from app.api.bodies import Instant
from app.api.deps import RoleContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, PageQuery, before, next_cursor
from app.audit import service as audit
from app.audit.records import ActionCode, Touch
from app.core.ids import PatientId
from app.identity.directory import Person

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["audit"])

# Who reads the log sees the names of those who act by profession; a citizen's would say whose record it is.
PRIVATE_PERSONS = frozenset(Role) - PROFESSIONALS - OFFICIALS
CODE = Field(default=None, pattern=r"^[a-z0-9_:-]{1,64}$")


class AuditQuery(PageQuery):
    """Which records; ``from`` is inclusive, ``to`` exclusive."""

    patient_id: UUID | None = None
    actor_id: UUID | None = None
    organisation_id: UUID | None = None
    entity_id: UUID | None = None
    from_: Instant | None = Field(default=None, alias="from")
    to: Instant | None = None
    action: str | None = CODE
    outcome: str | None = Field(default=None, pattern=r"^(success|denied|failure)$")
    ground: str | None = CODE


class ActorOut(Out):
    """Who acted, as far as it is known."""

    id: UUID | None
    name: str | None
    role: str | None
    organisation_id: UUID | None


class EntityOut(Out):
    """What was touched."""

    type: str | None
    id: UUID | None


class AuditEventOut(Out):
    """One record (NEN 7513; DOMAIN 4.6)."""

    id: UUID
    at: At
    actor: ActorOut
    on_behalf_of: UUID | None
    purpose: str | None
    case_id: UUID | None
    patient_id: UUID | None
    entity: EntityOut
    category: str | None
    domain: str | None
    action: str
    action_code: str
    outcome: str
    reason: str | None
    ground: str | None
    consent_id: UUID | None
    access_version: int | None
    policy_version: str | None
    origin: str
    access_point: str | None
    source: str
    trace_id: UUID | None
    audience: list[UUID] | None
    first_seq: int | None
    last_seq: int | None


class AuditEventsOut(Out):
    """Records, newest first."""

    items: list[AuditEventOut]
    next_cursor: str | None


@router.get("/audit/events")
@operation(Scope.ROLE, Action.AUDIT_SEARCH, ActionCode.READ, Content.LOG)
async def search_audit_events(ctx: RoleContext, query: AuditQuery) -> AuditEventsOut:
    """Search the log, newest first. Reading the log is logged."""
    wanted = audit.Search(
        patient_id=query.patient_id,
        actor_id=query.actor_id,
        organisation_id=query.organisation_id,
        entity_id=query.entity_id,
        start=query.from_,
        end=query.to,
        action=query.action,
        outcome=query.outcome,
        ground=query.ground,
    )
    label = f"audit:{wanted}"
    rows = await audit.search(
        ctx.db, ctx.permit, wanted, before=before(ctx, query.cursor, label), limit=query.limit + 1
    )
    shown = rows[: query.limit]
    people = await ctx.services.directory.people(row["actor_engagement_id"] for row in shown)
    ctx.touch(Touch("audit", None, patient_id=PatientId(query.patient_id) if query.patient_id else None))
    items = [_out(dict(row), people.get(row["actor_engagement_id"])) for row in shown]
    last: tuple[datetime, UUID] | None = (
        (shown[-1]["recorded_at"], shown[-1]["id"]) if len(rows) > query.limit else None
    )
    return AuditEventsOut(items=items, next_cursor=next_cursor(ctx, *last, label) if last else None)


_SAME = (
    "id",
    "on_behalf_of",
    "purpose",
    "case_id",
    "patient_id",
    "category",
    "domain",
    "action",
    "action_code",
    "outcome",
    "reason",
    "ground",
    "consent_id",
    "access_version",
    "policy_version",
    "origin",
    "access_point",
    "source",
    "trace_id",
    "audience",
    "first_seq",
    "last_seq",
)


def _out(row: "dict[str, object]", person: Person | None) -> AuditEventOut:
    fields = {name: row[name] for name in _SAME}
    return AuditEventOut.model_validate(
        {
            **fields,
            "at": row["recorded_at"],
            "actor": ActorOut.model_validate(
                {
                    "id": row["actor_account_id"],
                    "name": person.name if person and person.role not in PRIVATE_PERSONS else None,
                    "role": row["actor_role"],
                    "organisation_id": row["organisation_id"],
                }
            ),
            "entity": EntityOut.model_validate({"type": row["entity_type"], "id": row["entity_id"]}),
        }
    )
