"""Messages: posting (through the appender), reading, correcting, retracting, and what one wrote oneself."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from app.access.vocabulary import Action, Ground, MessageKind
from app.api.bodies import Body, Text
from app.api.deps import AppendContext, CaseContext, Page, SelfContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import MESSAGE, THREAD, Content, MessageIdPath, Out, Query, Scope, ThreadIdPath, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor, no_cursor, open_cursor
from app.api.statements import StatementOut, statements_beside
from app.audit import service as audit
from app.audit.records import ActionCode, Outcome, Record, Touch, who
from app.core.ids import CaseId, EventId, MessageId, ThreadId
from app.entitlement import service as entitlement
from app.events.posting import Post, digests_of
from app.identity import service as identity
from app.identity.directory import Person
from app.threads import service as threads
from app.threads.service import MessageInfo

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["messages"])

MESSAGE_TEXT = Text(1, 8000)
EXPORT_PAGE = 500
"""How many contributions one transaction of an export reads, and records as read."""
EXPORT_MEDIA = "application/x-ndjson"


class MessageIn(Body):
    """A message to post."""

    text: Annotated[str, MESSAGE_TEXT]
    kind: MessageKind = MessageKind.MESSAGE


class CorrectionIn(Body):
    """What the message should have said; an addition, never a replacement."""

    text: Annotated[str, MESSAGE_TEXT]


class RetractionIn(Body):
    """Why a message is taken back."""

    reason: Literal["wrong-thread", "wrong-person", "error"]


class MessageOut(Out):
    """A message. ``status``: posted, superseded (corrected since), correction, or retracted (seen by its author).

    ``statements`` are what citizens said beside it, absent where there is nothing.
    """

    id: UUID
    thread_id: UUID
    author: AuthorRef
    text: str
    kind: MessageKind
    at: At
    status: str
    corrects: UUID | None = None
    statements: list[StatementOut] | None = None


class MessagesOut(Out):
    """Messages, oldest first."""

    items: list[MessageOut]
    next_cursor: str | None


class ContributionOut(MessageOut):
    """Something one wrote oneself; ``threadId`` is null for a case's question."""

    case_id: UUID
    thread_id: UUID | None  # type: ignore[assignment]  # a question belongs to no thread


class ContributionsOut(Out):
    """What one wrote, newest first."""

    items: list[ContributionOut]
    next_cursor: str | None


class RetractionOut(Out):
    """A message that is gone for everybody but its author."""

    id: UUID
    thread_id: UUID | None
    status: str
    reason: str


class ContributionsQuery(PageQuery):
    """Of which case; of all when absent."""

    case_id: UUID | None = None


def _fields(info: MessageInfo, people: Mapping[UUID, Person]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": info.id,
        "thread_id": info.thread_id,
        "author": author_ref(people, info.author),
        "text": info.text,
        "kind": info.kind,
        "at": info.at,
        "status": info.status,
    }
    if info.corrects is not None:
        fields["corrects"] = info.corrects
    return fields


def _touch(ctx: CaseContext, info: MessageInfo) -> Touch:
    return case_touch(
        ctx.permit,
        "message",
        info.id,
        patient_id=info.patient_id,
        category=info.category,
        domain=info.domain,
    )


async def render_message(ctx: CaseContext, message_id: UUID) -> MessageOut:
    """Return one message that the actor may read."""
    info = await threads.message(ctx.db, ctx.permit, ctx.crypto, message_id)
    ctx.touch(_touch(ctx, info))
    people = await ctx.services.directory.people([info.author])
    return (await _shown(ctx, [info], people))[0]


async def _shown(ctx: CaseContext, infos: Sequence[MessageInfo], people: Mapping[UUID, Person]) -> list[MessageOut]:
    said = await statements_beside(ctx, [info.id for info in infos])
    return [
        MessageOut(**_fields(info, people), **({"statements": said[info.id]} if info.id in said else {}))
        for info in infos
    ]


@router.post("/threads/{threadId}/messages", status_code=201)
@operation(Scope.CASE, Action.MESSAGE_POST, ActionCode.CREATE, Content.CASE, entity=THREAD, appends=True)
async def post_message(ctx: AppendContext, thread_id: ThreadIdPath, body: MessageIn) -> MessageOut:
    """Post a message; with an Idempotency-Key a retry has one effect, for ever."""
    key, digest = digests_of(ctx.services.crypto.digests, ctx.key, body.text, body.kind)
    post = Post(
        actor=ctx.actor,
        thread_id=ThreadId(thread_id),
        text=body.text,
        kind=body.kind,
        origin=ctx.origin,
        key=key,
        digest=digest,
    )
    appended = await ctx.services.appender.append(post)
    if appended.replayed:
        ctx.replayed = True
        return await _earlier(ctx, MessageId(appended.event_id))
    people = await ctx.services.directory.people([ctx.actor.engagement_id])
    return MessageOut(
        id=appended.event_id,
        thread_id=thread_id,
        author=author_ref(people, ctx.actor.engagement_id),
        text=body.text,
        kind=body.kind,
        at=appended.at,
        status="posted",
    )


async def _earlier(ctx: AppendContext, message_id: MessageId) -> MessageOut:
    """Return what an earlier post with this key became, under present rights."""
    services = ctx.services
    async with services.database.session() as db, db.begin():
        entered = await identity.enter(
            db, ctx.actor.login_session_id, services.clock(), engagement_id=ctx.actor.engagement_id
        )
        permit = await entitlement.case_permit(db, entered, Action.MESSAGE_READ, "message", message_id)
        info = await threads.message(db, permit, services.crypto, message_id)
        touch = case_touch(
            permit,
            "message",
            message_id,
            patient_id=info.patient_id,
            category=info.category,
            domain=info.domain,
        )
        record = Record(Action.MESSAGE_READ, ActionCode.READ, Outcome.SUCCESS, who(entered.actor), touch, ctx.origin)
        await audit.record(db, [record], at=entered.now, source=services.settings.audit_source)
    return MessageOut(**_fields(info, await services.directory.people([info.author])))


@router.get("/threads/{threadId}/messages")
@operation(Scope.CASE, Action.MESSAGE_LIST, ActionCode.READ, Content.CASE, entity=THREAD)
async def list_messages(ctx: CaseContext, thread_id: ThreadIdPath, query: PageQuery) -> MessagesOut:
    """List the messages of a thread, oldest first from the cursor on."""
    label = f"messages:{thread_id}"
    after = 0
    if query.cursor is not None:
        match open_cursor(ctx, query.cursor, label):
            case (int(position),):
                after = position
            case _:
                raise no_cursor()
    found = await threads.messages(ctx.db, ctx.permit, ctx.crypto, thread_id, after_seq=after, limit=query.limit + 1)
    shown = found[: query.limit]
    entity = ctx.permit.standing.entity
    cell = entity.cell
    ctx.touch(
        case_touch(
            ctx.permit,
            "thread",
            thread_id,
            **(
                {}
                if cell is None
                else {"patient_id": cell.patient_id, "category": cell.category, "domain": cell.domain}
            ),
        )
    )
    people = await ctx.services.directory.people(info.author for info in shown)
    cursor = None
    if len(found) > query.limit:
        cursor = ctx.crypto.page_cursors.seal((shown[-1].seq,), account=ctx.actor.account_id, query=label.encode())
    return MessagesOut(items=await _shown(ctx, shown, people), next_cursor=cursor)


@router.get("/messages/{messageId}")
@operation(Scope.CASE, Action.MESSAGE_READ, ActionCode.READ, Content.CASE, entity=MESSAGE)
async def read_message(ctx: CaseContext, message_id: MessageIdPath) -> MessageOut:
    """Read one message."""
    return await render_message(ctx, message_id)


@router.post("/messages/{messageId}/corrections", status_code=201)
@operation(Scope.CASE, Action.MESSAGE_CORRECT, ActionCode.CREATE, Content.CASE, entity=MESSAGE, replay=render_message)
async def correct_message(ctx: CaseContext, message_id: MessageIdPath, body: CorrectionIn) -> MessageOut:
    """Correct one's own message by an addition; the old text stays visible as superseded."""
    correction_id = EventId(ctx.resource_id)
    await threads.correct(ctx.db, ctx.permit, ctx.crypto, message_id, correction_id=correction_id, text=body.text)
    ctx.moved.add(ctx.permit.case_id)
    return await render_message(ctx, correction_id)


@router.post("/messages/{messageId}/retraction", status_code=201)
@operation(Scope.CASE, Action.MESSAGE_RETRACT, ActionCode.DELETE, Content.CASE, entity=MESSAGE)
async def retract_message(ctx: CaseContext, message_id: MessageIdPath, body: RetractionIn) -> RetractionOut:
    """Take back one's own message: gone at once for everybody else, live and on resume."""
    gone = await threads.retract(ctx.db, ctx.permit, message_id, reason=body.reason)
    ctx.moved.add(ctx.permit.case_id)
    entity = ctx.permit.standing.entity
    patient = entity.cell.patient_id if entity.cell else None
    ctx.touch(*(case_touch(ctx.permit, "message", one, patient_id=patient) for one in gone))
    return RetractionOut(id=message_id, thread_id=entity.thread_id, status="retracted", reason=body.reason)


def contribution_outs(found: Sequence[MessageInfo], people: Mapping[UUID, Person]) -> list[ContributionOut]:
    """Return messages as who wrote them, or keeps them, sees them."""
    return [ContributionOut(case_id=info.case_id, **_fields(info, people)) for info in found]


@router.get("/contributions")
@operation(Scope.SELF, Action.CONTRIBUTION_LIST, ActionCode.READ, Content.CASE)
async def list_contributions(ctx: SelfContext, query: ContributionsQuery) -> ContributionsOut:
    """List what one wrote oneself, newest first, also after one's rights have ended."""
    label = f"contributions:{query.case_id}"
    found = await threads.contributions(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        case_id=query.case_id,
        before=before(ctx, query.cursor, label),
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    people = await ctx.services.directory.people(info.author for info in shown)
    ctx.touch(*map(_own, shown))
    cursor = next_cursor(ctx, shown[-1].at, shown[-1].id, label) if len(found) > query.limit else None
    return ContributionsOut(items=contribution_outs(shown, people), next_cursor=cursor)


def _own(info: MessageInfo) -> Touch:
    return Touch(
        "message",
        info.id,
        CaseId(info.case_id),
        info.patient_id,
        info.category,
        info.domain,
        ground=Ground.AUTHOR,
    )


class ContributionsExportQuery(Query):
    """Of which case; of all when absent."""

    case_id: UUID | None = None


@router.get(
    "/contribution-exports",
    response_class=Response,
    responses={200: {"content": {EXPORT_MEDIA: {"schema": {"type": "string"}}}}},
)
@operation(Scope.SELF, Action.CONTRIBUTION_EXPORT, ActionCode.READ, Content.CASE, exports=True)
async def export_contributions(ctx: SelfContext, query: ContributionsExportQuery) -> None:
    """Export what one wrote oneself as lines of JSON, newest first, also after one's rights have ended."""
    position: tuple[datetime, UUID] | None = ctx.position
    found = await threads.contributions(
        ctx.db, ctx.permit, ctx.crypto, case_id=query.case_id, before=position, limit=EXPORT_PAGE + 1
    )
    shown = found[:EXPORT_PAGE]
    people = await ctx.services.directory.people(info.author for info in shown)
    ctx.touch(*map(_own, shown))
    lines = [one.model_dump_json(by_alias=True).encode() + b"\n" for one in contribution_outs(shown, people)]
    after = (shown[-1].at, shown[-1].id) if len(found) > EXPORT_PAGE else None
    ctx.page = Page(b"".join(lines), EXPORT_MEDIA, "contributions.ndjson", after)
