"""Statements: what a citizen says beside a message or a consent record, shown wherever that is shown."""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter

from app.access.vocabulary import Action
from app.api.bodies import Body, Text
from app.api.deps import CaseContext, case_touch
from app.api.edge import OperationRoute
from app.api.operations import CONSENT, MESSAGE, ConsentIdPath, Content, MessageIdPath, Out, Scope, operation
from app.api.schemas import At, AuthorRef, PageQuery, author_ref, page_of
from app.audit.records import ActionCode, Touch
from app.identity.directory import Person
from app.threads.statements import service as statements
from app.threads.statements.service import StatementInfo

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["statements"])


class StatementIn(Body):
    """What a citizen says of a record. A professional, who has no word of their own here, names whose it is."""

    text: Annotated[str, Text(1, 4000)]
    on_word_of: Literal["patient"] | None = None


class StatementOut(Out):
    """A statement of the patient or a representative; ``superseded`` by a later one of the same speaker."""

    id: UUID
    text: str
    stated_by: str
    method: str
    recorded_by: AuthorRef
    recorded_at: At
    superseded: bool


class StatementsOut(Out):
    """What stands beside one record, oldest first."""

    items: list[StatementOut]
    next_cursor: str | None


def _out(info: StatementInfo, people: Mapping[UUID, Person]) -> StatementOut:
    return StatementOut(
        id=info.id,
        text=info.text,
        stated_by=info.stated_by,
        method=info.method,
        recorded_by=author_ref(people, info.recorded_by),
        recorded_at=info.recorded_at,
        superseded=info.superseded,
    )


async def statements_beside(ctx: CaseContext, records: Collection[UUID]) -> dict[UUID, list[StatementOut]]:
    """Return by record what stands beside these messages or consents; those without any are absent."""
    found = await statements.beside(ctx.db, ctx.permit, ctx.crypto, records)
    people = await ctx.services.directory.people(info.recorded_by for info in found)
    shown: dict[UUID, list[StatementOut]] = {}
    for info in found:
        shown.setdefault(info.about_id, []).append(_out(info, people))
    return shown


def _touch(ctx: CaseContext, info: StatementInfo) -> Touch:
    cell = ctx.permit.standing.entity.cell
    labels = {} if cell is None else {"category": cell.category, "domain": cell.domain}
    return case_touch(ctx.permit, "statement", info.id, patient_id=info.patient_id, **labels)


async def render_statement(ctx: CaseContext, statement_id: UUID) -> StatementOut:
    """Return one statement that the actor may read."""
    info = await statements.find(ctx.db, ctx.permit, ctx.crypto, statement_id)
    ctx.touch(_touch(ctx, info))
    return _out(info, await ctx.services.directory.people([info.recorded_by]))


async def _add(ctx: CaseContext, record_id: UUID, body: StatementIn) -> StatementOut:
    await statements.state(
        ctx.db,
        ctx.permit,
        ctx.crypto,
        record_id,
        statement_id=ctx.resource_id,
        text=body.text,
        on_word_of=body.on_word_of,
    )
    ctx.moved.add(ctx.permit.case_id)
    return await render_statement(ctx, ctx.resource_id)


async def _list(ctx: CaseContext, record_id: UUID, query: PageQuery) -> StatementsOut:
    found = await statements.beside(ctx.db, ctx.permit, ctx.crypto, [record_id])
    shown, cursor = page_of(ctx, found, query, f"statements:{record_id}", lambda info: info.id)
    people = await ctx.services.directory.people(info.recorded_by for info in shown)
    ctx.touch(*(_touch(ctx, info) for info in shown))
    return StatementsOut(items=[_out(info, people) for info in shown], next_cursor=cursor)


@router.post("/messages/{messageId}/statements", status_code=201)
@operation(Scope.CASE, Action.STATEMENT_ADD, ActionCode.CREATE, Content.CASE, entity=MESSAGE, replay=render_statement)
async def add_message_statement(ctx: CaseContext, message_id: MessageIdPath, body: StatementIn) -> StatementOut:
    """Say something beside a message about oneself, or whom one represents; nothing of the message changes."""
    return await _add(ctx, message_id, body)


@router.get("/messages/{messageId}/statements")
@operation(Scope.CASE, Action.STATEMENT_LIST, ActionCode.READ, Content.CASE, entity=MESSAGE)
async def list_message_statements(ctx: CaseContext, message_id: MessageIdPath, query: PageQuery) -> StatementsOut:
    """List what citizens said beside a message, the superseded too, oldest first."""
    return await _list(ctx, message_id, query)


@router.post("/consents/{consentId}/statements", status_code=201)
@operation(Scope.CASE, Action.STATEMENT_ADD, ActionCode.CREATE, Content.CASE, entity=CONSENT, replay=render_statement)
async def add_consent_statement(ctx: CaseContext, consent_id: ConsentIdPath, body: StatementIn) -> StatementOut:
    """Say something beside a consent record about oneself, or whom one represents; nothing of the record changes."""
    return await _add(ctx, consent_id, body)


@router.get("/consents/{consentId}/statements")
@operation(Scope.CASE, Action.STATEMENT_LIST, ActionCode.READ, Content.CASE, entity=CONSENT)
async def list_consent_statements(ctx: CaseContext, consent_id: ConsentIdPath, query: PageQuery) -> StatementsOut:
    """List what citizens said beside a consent record, the superseded too, oldest first."""
    return await _list(ctx, consent_id, query)
