"""Safe contact: recording, for somebody whose home is not safe, that nothing goes there."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.access.vocabulary import Action
from app.api.bodies import Body, Text
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor
from app.audit.records import ActionCode, Touch
from app.core.ids import PatientId
from app.safety import service as safety
from app.safety.service import SafeContactInfo

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["safety"])


class SafeContactIn(Body):
    """About whom; whether contact is kept safe from now on, or no longer has to be; and why, which is sealed."""

    patient_id: UUID
    safe: bool
    reason: Annotated[str, Text(1, 2000)]


class SafeContactOut(Out):
    """What was recorded. The newest entry about a patient counts; its reason is for the recorder's organisation."""

    id: UUID
    patient_id: UUID
    safe: bool
    reason: str | None
    recorded_by: AuthorRef
    recorded_at: At


class SafeContactsOut(Out):
    """Entries about every subject that one sees something of, newest first."""

    items: list[SafeContactOut]
    next_cursor: str | None


async def _outs(ctx: CaseContext, found: list[SafeContactInfo]) -> list[SafeContactOut]:
    people = await ctx.services.directory.people(one.recorded_by for one in found)
    ctx.touch(*(_touch(ctx, one) for one in found))
    return [
        SafeContactOut(
            id=one.id,
            patient_id=one.patient_id,
            safe=one.safe,
            reason=one.reason,
            recorded_by=author_ref(people, one.recorded_by),
            recorded_at=one.recorded_at,
        )
        for one in found
    ]


def _touch(ctx: CaseContext, one: SafeContactInfo) -> Touch:
    return case_touch(ctx.permit, "safe-contact", one.id, patient_id=PatientId(one.patient_id))


async def render_safe_contact(ctx: CaseContext, entry_id: UUID) -> SafeContactOut:
    """Return an entry that was recorded."""
    return (await _outs(ctx, [await safety.safe_contact(ctx.db, ctx.permit, ctx.crypto, entry_id)]))[0]


@router.post("/cases/{caseId}/safe-contacts", status_code=201)
@operation(
    Scope.CASE, Action.SAFE_CONTACT_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_safe_contact
)
async def record_safe_contact(ctx: CaseContext, case_id: CaseIdPath, body: SafeContactIn) -> SafeContactOut:
    """Record that no letter, notice or preview goes to a subject's home, or that it may again. Nobody is told."""
    await safety.record_safe_contact(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        entry_id=ctx.resource_id,
        patient_id=body.patient_id,
        safe=body.safe,
        reason=body.reason,
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_safe_contact(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/safe-contacts")
@operation(Scope.CASE, Action.SAFE_CONTACT_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_safe_contacts(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> SafeContactsOut:
    """List what was recorded about safe contact, newest first."""
    label = f"safe-contacts:{case_id}"
    found = await safety.safe_contacts(
        ctx.db, ctx.permit, ctx.crypto, before=before(ctx, query.cursor, label), limit=query.limit + 1
    )
    shown = found[: query.limit]
    cursor = next_cursor(ctx, shown[-1].recorded_at, shown[-1].id, label) if len(found) > query.limit else None
    return SafeContactsOut(items=await _outs(ctx, shown), next_cursor=cursor)
