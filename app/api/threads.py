"""Threads: opening one under a category, and listing those one may read."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.access.vocabulary import Action, Category, Domain, HoldReason
from app.api.bodies import Body, Instant, Text
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CASE, THREAD, CaseIdPath, Content, Out, Scope, ThreadIdPath, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, before, next_cursor
from app.audit.records import ActionCode, Touch
from app.core.ids import PatientId, ThreadId
from app.threads import service as threads
from app.threads.releases import service as releases
from app.threads.releases.service import Hold
from app.threads.service import ThreadInfo

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["threads"])


class OnReleaseIn(Body):
    """Until when a professional holds a thread back from the citizen's side, at most fourteen days, and why."""

    at: Instant
    reason_code: HoldReason
    reason: Annotated[str, Text(1, 2000)]


class ThreadIn(Body):
    """A thread to open: about exactly one subject, under one category, in the opener's own domain.

    Without ``onRelease`` everybody who reads the category sees it at once.
    """

    patient_id: UUID
    category: Category
    title: Annotated[str, Text(1, 200)]
    on_release: OnReleaseIn | None = None


class OnReleaseOut(Out):
    """Until when a thread is held back, or was when ``released``, and why."""

    at: At
    released: bool
    reason_code: HoldReason
    reason: str | None = None


class ThreadOut(Out):
    """A thread; ``title`` is absent where it was given before the viewer's bound, ``onRelease`` if it never was."""

    id: UUID
    case_id: UUID
    patient_id: UUID
    category: Category
    domain: Domain
    title: str | None = None
    opened_by: AuthorRef
    opened_at: At
    on_release: OnReleaseOut | None = None


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
            **({} if info.hold is None else {"on_release": _on_release(ctx, info.hold)}),
        )
        for info in infos
    ]


def _on_release(ctx: CaseContext, hold: Hold) -> OnReleaseOut:
    told = {} if hold.reason is None else {"reason": hold.reason}
    return OnReleaseOut(at=hold.until, released=hold.until <= ctx.now, reason_code=hold.code, **told)


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
    """Open a thread in one's own domain, shown at once or, by a professional, at a release within fourteen days."""
    held = body.on_release
    thread_id = ThreadId(ctx.resource_id)
    await threads.open_thread(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        thread_id=thread_id,
        patient_id=PatientId(body.patient_id),
        category=body.category,
        title=body.title,
        hold=None if held is None else Hold(held.at, held.reason_code, held.reason),
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


@router.post("/threads/{threadId}/release", status_code=201)
@operation(Scope.CASE, Action.THREAD_RELEASE, ActionCode.UPDATE, Content.CASE, entity=THREAD)
async def release_thread(ctx: CaseContext, thread_id: ThreadIdPath) -> ThreadOut:
    """Show a thread that is held back to everybody who reads its category, before its moment and for good."""
    await releases.release(ctx.db, ctx.permit, ThreadId(thread_id))
    ctx.moved.add(ctx.permit.case_id)
    return await render_thread(ctx, thread_id)


class AccessRequestIn(Body):
    """Whose request it is to see everything that there is about them."""

    patient_id: UUID


class AccessRequestOut(Out):
    """A request for access: who asked, how, and in whose name it stands. It says nothing of what it released."""

    id: UUID
    patient_id: UUID
    asked_by: str
    method: str
    recorded_by: AuthorRef
    recorded_at: At


async def render_request(ctx: CaseContext, request_id: UUID) -> AccessRequestOut:
    """Return a request that was recorded."""
    row = await releases.request(ctx.db, ctx.permit, request_id)
    people = await ctx.services.directory.people([row["recorded_by_engagement_id"]])
    ctx.touch(case_touch(ctx.permit, "access-request", request_id, patient_id=PatientId(row["patient_id"])))
    return AccessRequestOut(
        id=row["id"],
        patient_id=row["patient_id"],
        asked_by=row["asked_by"],
        method=row["method"],
        recorded_by=author_ref(people, row["recorded_by_engagement_id"]),
        recorded_at=row["recorded_at"],
    )


@router.post("/cases/{caseId}/access-requests", status_code=201)
@operation(
    Scope.CASE, Action.ACCESS_REQUEST_RECORD, ActionCode.CREATE, Content.CASE, entity=CASE, replay=render_request
)
async def record_access_request(ctx: CaseContext, case_id: CaseIdPath, body: AccessRequestIn) -> AccessRequestOut:
    """Ask to see all there is about oneself, or whom one represents, or on the citizen's word: none of it waits."""
    released = await releases.record_request(ctx.db, ctx.permit, ctx.resource_id, PatientId(body.patient_id))
    ctx.moved.add(ctx.permit.case_id)
    for row in released:
        labels = {name: row[name] for name in ("patient_id", "category", "domain")}
        ctx.touch(case_touch(ctx.permit, "thread", row["thread_id"], **labels))
    return await render_request(ctx, ctx.resource_id)
