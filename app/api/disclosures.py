"""Disclosures: what somebody gave to whom outside of the case, of what they held, and why. Never access."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.access.vocabulary import Action, Category
from app.api.bodies import Body, Instant, Text
from app.api.deps import CaseContext, RoleContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, CaseIdPath, Content, Out, Scope, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor
from app.audit.records import ActionCode, Touch
from app.core.ids import CaseId, PatientId
from app.safety.disclosures import service as disclosures
from app.safety.disclosures.service import DisclosureInfo, NewDisclosure

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["disclosures"])

ITEMS_MAX = 100
ANSWER = Text(1, 4000)


class SixTestsIn(Body):
    """The six tests of a conflict of duties, each with its answer."""

    consent_tried: Annotated[str, ANSWER]
    serious_harm: Annotated[str, ANSWER]
    moral_distress: Annotated[str, ANSWER]
    no_other_way: Annotated[str, ANSWER]
    almost_surely_helps: Annotated[str, ANSWER]
    as_small_as_possible: Annotated[str, ANSWER]


class DelayIn(Body):
    """Until when the citizen is not shown this, and why; the reason is sealed."""

    until: Instant
    reason: Annotated[str, ANSWER]


class DisclosureIn(Body):
    """What was given to whom, and why. ``tests`` belong to a conflict of duties and to nothing else."""

    patient_id: UUID
    kind: Literal["conflict_of_duties", "veilig_thuis", "adviser"]
    message_ids: Annotated[list[UUID], Field(min_length=1, max_length=ITEMS_MAX)]
    recipient: Annotated[str, Text(1, 500)]
    reason: Annotated[str, ANSWER]
    tests: SixTestsIn | None = None
    delay: DelayIn | None = None

    def disclosed(self) -> NewDisclosure:
        """Return what is recorded."""
        return NewDisclosure(
            patient_id=self.patient_id,
            kind=self.kind,
            message_ids=tuple(dict.fromkeys(self.message_ids)),
            recipient=self.recipient,
            reason=self.reason,
            tests=self.tests.model_dump() if self.tests else None,
            delay=(self.delay.until, self.delay.reason) if self.delay else None,
        )


class SixTestsOut(Out):
    """The six answers."""

    consent_tried: str
    serious_harm: str
    moral_distress: str
    no_other_way: str
    almost_surely_helps: str
    as_small_as_possible: str


class DisclosureOut(Out):
    """What was given to whom. That it was kept from the citizen, and why, is not shown to the citizen."""

    id: UUID
    case_id: UUID
    patient_id: UUID
    kind: str
    message_ids: list[UUID]
    recipient: str
    reason: str
    tests: SixTestsOut | None
    delayed_until: At | None
    delay_reason: str | None
    recorded_by: AuthorRef
    recorded_at: At


class DisclosuresOut(Out):
    """Disclosures that one may see, newest first."""

    items: list[DisclosureOut]
    next_cursor: str | None


async def _outs(ctx: CaseContext | RoleContext, found: list[DisclosureInfo]) -> list[DisclosureOut]:
    people = await ctx.services.directory.people(one.recorded_by for one in found)
    return [
        DisclosureOut(
            **{name: getattr(one, name) for name in _SAME},
            message_ids=list(one.message_ids),
            tests=SixTestsOut(**one.tests) if one.tests else None,
            recorded_by=author_ref(people, one.recorded_by),
        )
        for one in found
    ]


_SAME = (
    *("id", "case_id", "patient_id", "kind", "recipient", "reason", "delayed_until", "delay_reason"),
    "recorded_at",
)


def _case_touch(ctx: CaseContext, one: DisclosureInfo) -> Touch:
    labels = {"patient_id": PatientId(one.patient_id), "category": Category.SAFETY_MELDCODE}
    return case_touch(ctx.permit, "disclosure", one.id, **labels)


async def render_disclosure(ctx: CaseContext, disclosure_id: UUID) -> DisclosureOut:
    """Return a disclosure that was recorded."""
    found = await disclosures.disclosure(ctx.db, ctx.permit, ctx.crypto, disclosure_id)
    ctx.touch(_case_touch(ctx, found))
    return (await _outs(ctx, [found]))[0]


@router.post("/cases/{caseId}/disclosures", status_code=201)
@operation(
    Scope.CASE, Action.DISCLOSURE_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_disclosure
)
async def record_disclosure(ctx: CaseContext, case_id: CaseIdPath, body: DisclosureIn) -> DisclosureOut:
    """Record what one gave to whom of what one may read oneself. It opens nothing to anybody."""
    await disclosures.record(ctx.db, ctx.permit, ctx.crypto, body.disclosed(), disclosure_id=ctx.resource_id)
    return await render_disclosure(ctx, ctx.resource_id)


@router.get("/cases/{caseId}/disclosures")
@operation(Scope.CASE, Action.DISCLOSURE_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_disclosures(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> DisclosuresOut:
    """List the disclosures of a case that one may see: one's own organisation's, or those about oneself."""
    label = f"disclosures:{case_id}"
    found = await disclosures.disclosures(
        ctx.db, ctx.permit, ctx.crypto, before=before(ctx, query.cursor, label), limit=query.limit + 1
    )
    shown = found[: query.limit]
    ctx.touch(*(_case_touch(ctx, one) for one in shown))
    cursor = next_cursor(ctx, shown[-1].recorded_at, shown[-1].id, label) if len(found) > query.limit else None
    return DisclosuresOut(items=await _outs(ctx, shown), next_cursor=cursor)


@router.get("/disclosures")
@operation(Scope.ROLE, Action.DISCLOSURE_WATCH, ActionCode.READ, Content.CASE)
async def list_all_disclosures(ctx: RoleContext, query: PageQuery) -> DisclosuresOut:
    """List every disclosure of the region, for privacy officers, newest first."""
    found = await disclosures.of_the_region(
        ctx.db, ctx.permit, ctx.crypto, before=before(ctx, query.cursor, "disclosures"), limit=query.limit + 1
    )
    shown = found[: query.limit]
    ctx.touch(
        *(
            Touch(
                "disclosure",
                one.id,
                CaseId(one.case_id),
                PatientId(one.patient_id),
                category=Category.SAFETY_MELDCODE,
            )
            for one in shown
        )
    )
    more = len(found) > query.limit
    cursor = next_cursor(ctx, shown[-1].recorded_at, shown[-1].id, "disclosures") if more else None
    return DisclosuresOut(items=await _outs(ctx, shown), next_cursor=cursor)
