"""Notices: what one is told, and the letters that a case manager sends to a citizen without an account."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from sqlalchemy.engine import RowMapping

from app.access.vocabulary import Action
from app.api.deps import SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, PageQuery, before, next_cursor
from app.audit.records import ActionCode, Touch
from app.core.ids import CaseId, PatientId
from app.notices import service as notices
from app.notices.kinds import Channel, NoticeKind

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["notices"])

NoticeIdPath = Annotated[UUID, Path(alias="noticeId", description="The notice.")]


class NoticeOut(Out):
    """That something happened to the thing ``about``.

    ``patientId`` is set on what a citizen is told. ``readAt``: read, or for a case manager: sent, or told in person.
    """

    id: UUID
    kind: NoticeKind
    about: UUID
    case_id: UUID | None
    patient_id: UUID | None
    channel: Channel
    at: At
    read_at: At | None


class NoticesOut(Out):
    """Notices, newest first."""

    items: list[NoticeOut]
    next_cursor: str | None


class LetterOut(Out):
    """The text of a letter: the same for everybody, in plain Dutch."""

    id: UUID
    kind: NoticeKind
    text: str


class NoticesQuery(PageQuery):
    """Which notices."""

    unread: bool = False


def _out(row: RowMapping) -> NoticeOut:
    return NoticeOut(
        id=row["id"],
        kind=row["kind"],
        about=row["about"],
        case_id=row["case_id"],
        patient_id=row["patient_id"],
        channel=row["channel"],
        at=row["not_before"],
        read_at=row["read_at"],
    )


def _touch(row: RowMapping) -> Touch:
    case_id = None if row["case_id"] is None else CaseId(row["case_id"])
    patient_id = None if row["patient_id"] is None else PatientId(row["patient_id"])
    return Touch("notice", row["id"], case_id, patient_id)


@router.get("/notices")
@operation(Scope.SELF, Action.NOTICE_LIST, ActionCode.READ, Content.NONE)
async def list_notices(ctx: SelfContext, query: NoticesQuery) -> NoticesOut:
    """List what one is told; of cases that one manages also what goes to the citizen by letter or in person."""
    label = f"notices:{query.unread}"
    rows = list(
        await notices.listed(
            ctx.db,
            ctx.permit,
            unread=query.unread,
            before=before(ctx, query.cursor, label),
            limit=query.limit + 1,
        )
    )
    shown = rows[: query.limit]
    ctx.touch(*(_touch(row) for row in shown))
    cursor = next_cursor(ctx, shown[-1]["not_before"], shown[-1]["id"], label) if len(rows) > query.limit else None
    return NoticesOut(items=[_out(row) for row in shown], next_cursor=cursor)


@router.post("/notices/{noticeId}/reading", status_code=201)
@operation(Scope.SELF, Action.NOTICE_READ, ActionCode.UPDATE, Content.NONE)
async def mark_notice_read(ctx: SelfContext, notice_id: NoticeIdPath) -> NoticeOut:
    """Say that one read a notice, sent its letter or told the citizen; saying it again changes nothing."""
    row = await notices.mark_read(ctx.db, ctx.permit, notice_id)
    ctx.touch(_touch(row))
    return _out(row)


@router.get("/notices/{noticeId}/letter")
@operation(Scope.SELF, Action.NOTICE_PRINT, ActionCode.READ, Content.NONE)
async def read_letter(ctx: SelfContext, notice_id: NoticeIdPath) -> LetterOut:
    """Return the letter to a citizen without an account, to be printed; none where contact must be safe."""
    row, text = await notices.letter(ctx.db, ctx.permit, notice_id)
    ctx.touch(_touch(row))
    return LetterOut(id=row["id"], kind=row["kind"], text=text)
