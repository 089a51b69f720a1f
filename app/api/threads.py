"""Threads: opening one under a category, and listing those one may read."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.access.vocabulary import Action, Category, Domain
from app.api.bodies import Body, Text
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, THREAD, CaseIdPath, Content, Out, Scope, ThreadIdPath, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor
from app.audit.records import ActionCode, Touch
from app.core.ids import PatientId, ThreadId
from app.threads import service as threads
from app.threads.service import ThreadInfo

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["threads"])


class ThreadIn(Body):
    """A thread to open: about exactly one subject, under one category, in the opener's own domain."""

    patient_id: UUID
    category: Category
    title: Annotated[str, Text(1, 200)]


class ThreadOut(Out):
    """A thread; ``title`` is absent where it was given before the viewer's bound."""

    id: UUID
    case_id: UUID
    patient_id: UUID
    category: Category
    domain: Domain
    title: str | None = None
    opened_by: AuthorRef
    opened_at: At


class ThreadsOut(Out):
    """Threads, newest first."""

    items: list[ThreadOut]
    next_cursor: str | None


async def _outs(ctx: CaseContext, infos: list[ThreadInfo]) -> list[ThreadOut]:
    people = await ctx.services.directory.people(info.opened_by for info in infos)
    return [
        ThreadOut(
            id=info.id,
            case_id=ctx.permit.case_id,
            patient_id=info.patient_id,
            category=info.category,
            domain=info.domain,
            opened_by=author_ref(people, info.opened_by),
            opened_at=info.opened_at,
            **({} if info.title is None else {"title": info.title}),
        )
        for info in infos
    ]


def _touch(ctx: CaseContext, info: ThreadInfo) -> Touch:
    return case_touch(
        ctx.permit,
        "thread",
        info.id,
        patient_id=PatientId(info.patient_id),
        category=info.category,
        domain=info.domain,
    )


async def render_thread(ctx: CaseContext, thread_id: UUID) -> ThreadOut:
    """Return one thread that the actor may read."""
    info = await threads.thread(ctx.db, ctx.permit, ctx.crypto, thread_id)
    ctx.touch(_touch(ctx, info))
    return (await _outs(ctx, [info]))[0]


@router.post("/cases/{caseId}/threads", status_code=201)
@operation(Scope.CASE, Action.THREAD_OPEN, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_thread)
async def open_thread(ctx: CaseContext, case_id: CaseIdPath, body: ThreadIn) -> ThreadOut:
    """Open a thread in one's own domain."""
    thread_id = ThreadId(ctx.resource_id)
    await threads.open_thread(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        thread_id=thread_id,
        patient_id=PatientId(body.patient_id),
        category=body.category,
        title=body.title,
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_thread(ctx, thread_id)


@router.get("/cases/{caseId}/threads")
@operation(Scope.CASE, Action.THREAD_LIST, ActionCode.READ, Content.CASE, entity=CASE)
async def list_threads(ctx: CaseContext, case_id: CaseIdPath, query: PageQuery) -> ThreadsOut:
    """List the threads of a case that one may read, newest first."""
    label = f"threads:{case_id}"
    found = await threads.threads(
        ctx.db, ctx.permit, ctx.crypto, before=before(ctx, query.cursor, label), limit=query.limit + 1
    )
    shown = found[: query.limit]
    ctx.touch(*(_touch(ctx, info) for info in shown))
    cursor = next_cursor(ctx, shown[-1].opened_at, shown[-1].id, label) if len(found) > query.limit else None
    return ThreadsOut(items=await _outs(ctx, shown), next_cursor=cursor)


@router.get("/threads/{threadId}")
@operation(Scope.CASE, Action.THREAD_READ, ActionCode.READ, Content.CASE, entity=THREAD)
async def read_thread(ctx: CaseContext, thread_id: ThreadIdPath) -> ThreadOut:
    """Read one thread."""
    return await render_thread(ctx, thread_id)
