"""Tickets for the live socket: single-use, 30 seconds, never in a URL."""

from fastapi import APIRouter

from app.access.vocabulary import Action
from app.api.deps import SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At
from app.audit.records import ActionCode, Touch
from app.identity import service as identity

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["realtime"])


class TicketOut(Out):
    """A ticket, where to use it, and until when."""

    ticket: str
    url: str
    expires_at: At


@router.post("/realtime-tickets", status_code=201)
@operation(Scope.SELF, Action.TICKET_ISSUE, ActionCode.EXECUTE, Content.NONE)
async def issue_ticket(ctx: SelfContext) -> TicketOut:
    """Issue a ticket for one socket of this session."""
    ticket, expires_at = await identity.issue_ticket(ctx.db, ctx.permit, ctx.crypto.tickets)
    ctx.touch(Touch("session", ctx.actor.login_session_id))
    return TicketOut(ticket=ticket, url=ctx.services.settings.socket_url, expires_at=expires_at)
