"""One socket: carries frames between transport and conversation, and requests to hub and appender, in order."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, assert_never
from uuid import uuid4

import structlog

from app.access.actor import Actor
from app.access.vocabulary import Action
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who, who
from app.core.clock import Clock
from app.core.db import Database
from app.core.errors import DomainError, NotFound, Unauthenticated, Unavailable
from app.core.ids import AccountId, CaseId, EngagementId, LoginSessionId
from app.crypto.service import Crypto
from app.entitlement.knowledge import Knowledge
from app.entitlement.permits import case_permit
from app.entitlement.refusals import Refusals, record_refusal
from app.events.appender import Appended, Appender
from app.events.posting import Post as Draft
from app.events.posting import digests_of
from app.identity import service as identity
from app.identity.directory import Directory
from app.identity.service import Entered
from app.realtime import frames
from app.realtime.frames import CloseCode
from app.realtime.hub import FAILURES, Hub
from app.realtime.lease import LEASE_SECONDS, Leases
from app.realtime.outbox import Outbox
from app.realtime.protocol import (
    AUTHENTICATE_SECONDS,
    Authenticate,
    Close,
    Dialogue,
    Join,
    Leave,
    Output,
    Ping,
    Post,
    Request,
    Send,
    Typing,
)
from app.realtime.room import Seat
from app.realtime.server import SocketProtocol

CASES_PER_SOCKET_MAX = 100
REQUESTS_MAX = 64
log = structlog.get_logger()


class TooManyCases(NotFound):
    """Raised when one socket would listen to more cases than anybody works on at once."""


@dataclass(frozen=True, slots=True)
class Live:
    """The parts a socket works with."""

    database: Database
    clock: Clock
    crypto: Crypto
    directory: Directory
    knowledge: Knowledge
    appender: Appender
    hub: Hub
    leases: Leases
    refusals: Refusals
    frames_per_second: int
    source: str


class Socket:
    """A listener: one client's connection, from its first frame to its last."""

    def __init__(self, live: Live, transport: SocketProtocol, access_point: str | None) -> None:
        self._live = live
        self._transport = transport
        self._access_point = access_point
        self._dialogue = Dialogue(time.monotonic(), rate=live.frames_per_second)
        self._entered: Entered | None = None
        self._seats: dict[CaseId, Seat] = {}
        self._requests: deque[Request] = deque()
        self._working: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._waits_for_peer: asyncio.Event | None = None
        self.outbox = Outbox(
            transport, leased=live.leases.held, may_send=self._may_send, on_overflow=self._overflowed
        )
        self._deadline = asyncio.get_running_loop().call_later(AUTHENTICATE_SECONDS + 0.1, self._tick)

    # What rooms and leases ask of a listener

    @property
    def account_id(self) -> AccountId:
        """Whose it is."""
        return self._actor.account_id

    @property
    def engagement_id(self) -> EngagementId:
        """In which engagement it listens."""
        return self._actor.engagement_id

    @property
    def session_id(self) -> LoginSessionId:
        """The log-in session it lives under."""
        return self._actor.login_session_id

    def drop(self, case_id: CaseId) -> None:
        """Forget a seat that was taken away."""
        self._seats.pop(case_id, None)

    async def drained(self) -> None:
        """Return once everything it was told has gone to its peer, or it is closed."""
        while not (self._closed or self.outbox.closed or self.outbox.idle):
            self._waits_for_peer = self._waits_for_peer or asyncio.Event()
            self._waits_for_peer.clear()
            await self._waits_for_peer.wait()

    def end(self) -> None:
        """Close: the session has ended."""
        self._perform(self._dialogue.end(CloseCode.NOT_AUTHENTICATED))

    # What the transport calls

    def received(self, frame: str | bytes) -> None:
        """Take one frame in."""
        self._perform(self._dialogue.receive(frame, time.monotonic()))

    def flush(self) -> None:
        """Send what waits: the peer kept up, or the lease is back."""
        self.outbox.flush()
        if self._waits_for_peer is not None:
            self._waits_for_peer.set()

    def drain(self) -> None:
        """Say goodbye: the server stops."""
        self._perform(self._dialogue.end(CloseCode.DRAINING))

    def gone(self) -> None:
        """Let go of everything: the connection has ended."""
        self._closed = True
        self._deadline.cancel()
        self._requests.clear()
        if self._entered is not None:
            self._live.leases.dismiss(self)
        for seat in self._seats.values():
            self._live.hub.leave(seat)
        self._seats.clear()
        self.outbox.close()
        self.flush()

    def _tick(self) -> None:
        self._perform(self._dialogue.tick(time.monotonic()))

    def _overflowed(self) -> None:
        self._transport.write_text(frames.bye(CloseCode.TOO_SLOW))
        self._transport.close(CloseCode.TOO_SLOW)
        self.flush()

    def _may_send(self, case_id: CaseId, cell: object) -> bool:
        seat = self._seats.get(case_id)
        return seat is not None and seat.may_hear(cell)

    # What the conversation asks for

    @property
    def _actor(self) -> Actor:
        assert self._entered is not None
        return self._entered.actor

    def _perform(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Send(payload):
                    self.outbox.say(payload)
                case Close(code):
                    self._transport.close(code)
                case Post() if self._working is None and self._entered is not None:
                    self._post(output)
                case _:
                    self._requests.append(output)
                    if len(self._requests) >= REQUESTS_MAX:
                        self._transport.pause_reading()
                    if self._working is None:
                        self._working = self._spawn(self._work())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="socket")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self) -> None:
        """Handle waiting requests in the order they came."""
        try:
            while self._requests and not self._closed:
                await self._handle(self._requests.popleft())
                if len(self._requests) < REQUESTS_MAX:
                    self._transport.resume_reading()
        except Exception:
            log.exception("socket.broken")
            self._perform(self._dialogue.end(CloseCode.OUR_FAULT))
        finally:
            self._working = None

    async def _handle(self, request: Request) -> None:
        try:
            match request:
                case Authenticate(ticket):
                    await self._authenticate(ticket)
                case Join(case_id, cursor):
                    await self._join(case_id, cursor)
                case Leave(case_id):
                    self._leave(case_id)
                case Post():
                    self._post(request)
                case Typing():
                    await self._type(request)
                case Ping():
                    self.outbox.say(frames.pong())
                case _:
                    assert_never(request)
        except DomainError as refusal:
            self._refuse(refusal)
        except FAILURES as error:
            log.warning("socket.failed", error=type(error).__name__)
            self._refuse(Unavailable())

    def _refuse(self, refusal: DomainError, client_id: str | None = None) -> None:
        """Tell a refusal; when the session has ended, or it never began, it is also the end of the socket."""
        self.outbox.say(frames.error(refusal, client_id))
        if self._entered is None:
            self._perform(self._dialogue.end(CloseCode.OUR_FAULT))
        elif isinstance(refusal, Unauthenticated):
            self.end()

    def _origin(self) -> Origin:
        return Origin("socket", self._access_point, uuid4())

    async def _authenticate(self, ticket: str) -> None:
        live, origin = self._live, self._origin()
        try:
            async with live.database.session() as db, db.begin():
                entered = await identity.redeem_ticket(db, ticket, live.crypto.tickets, now=live.clock())
                record = Record(
                    "socket:authenticate",
                    ActionCode.EXECUTE,
                    Outcome.SUCCESS,
                    who(entered.actor),
                    Touch("session", entered.actor.login_session_id),
                    origin,
                )
                await audit.record(db, [record], at=entered.now, source=live.source)
        except Unauthenticated as refusal:
            await self._refused("socket:authenticate", ActionCode.EXECUTE, refusal, origin)
            self._perform(self._dialogue.refuse())
            return
        if self._closed:
            return
        self._entered = entered
        self._perform(self._dialogue.ready(entered.actor.account_id, LEASE_SECONDS))
        live.leases.admit(self)

    async def _join(self, case_id: CaseId, cursor: str | None) -> None:
        self._live.leases.use(self)
        await self._live.hub.join(self, case_id, cursor, self._seats, lambda: self._permit_join(case_id))

    async def _permit_join(self, case_id: CaseId) -> int:
        """Return the access version of a case at which this socket may listen to it; recorded either way.

        Raises:
            NotFound: it sits at the table of no such case, or at too many tables.
            Unauthenticated: the session has ended.
            Unavailable: rights cannot be checked now.
        """
        live, origin = self._live, self._origin()
        try:
            if not live.leases.held():
                raise Unavailable
            if case_id not in self._seats and len(self._seats) >= CASES_PER_SOCKET_MAX:
                raise TooManyCases
            async with live.database.session() as db, db.begin():
                entered = await identity.enter(db, self.session_id, live.clock(), engagement_id=self.engagement_id)
                permit = await case_permit(db, entered, Action.CASE_LISTEN, "case", case_id)
                version = permit.standing.version
                touch = Touch("case", case_id, case_id, access_version=version)
                record = Record(
                    Action.CASE_LISTEN, ActionCode.READ, Outcome.SUCCESS, who(entered.actor), touch, origin
                )
                await audit.record(db, [record], at=entered.now, source=live.source)
        except DomainError as refusal:
            await self._refused(Action.CASE_LISTEN, ActionCode.READ, refusal, origin, ("case", case_id))
            raise
        return version

    def _leave(self, case_id: CaseId) -> None:
        self._leave_seat(case_id)
        self.outbox.say(frames.left(case_id))

    def _leave_seat(self, case_id: CaseId) -> None:
        seat = self._seats.pop(case_id, None)
        if seat is not None:
            self.outbox.purge(case_id)
            self._live.hub.leave(seat)

    def _post(self, request: Post) -> None:
        """Hand a message to the appender; the answer comes when it is durable."""
        live = self._live
        live.leases.use(self)
        key, digest = digests_of(live.crypto.digests, request.client_id.encode(), request.text, request.kind)
        draft = Draft(
            actor=self._actor,
            thread_id=request.thread_id,
            text=request.text,
            kind=request.kind,
            origin=self._origin(),
            key=key,
            digest=digest,
            client_id=request.client_id,
        )
        try:
            live.appender.submit(draft, self._posted)
        except DomainError as refusal:
            self.outbox.say(frames.error(refusal, request.client_id))
        else:
            live.hub.expect(draft.id, request.client_id)

    def _posted(self, draft: Draft, result: Appended | DomainError) -> None:
        """Tell the client what became of its post."""
        client_id = draft.client_id or ""
        if isinstance(result, DomainError) or result.replayed:
            self._live.hub.forget(draft.id)
        if isinstance(result, DomainError):
            self._spawn(self._post_refused(draft, result))
            return
        seat = self._seats.get(result.case_id)
        cursors = self._live.crypto.stream_cursors
        tag = seat.tag if seat is not None else cursors.tag(self.account_id, result.case_id)
        self.outbox.say(frames.ack(client_id, result.event_id, draft.thread_id, cursors.one(result.seq, tag)))

    async def _post_refused(self, draft: Draft, refusal: DomainError) -> None:
        """Record the refusal, then tell it."""
        entity = ("thread", draft.thread_id)
        try:
            await self._refused(Action.MESSAGE_POST, ActionCode.CREATE, refusal, draft.origin, entity)
        except DomainError as unrecorded:
            refusal = unrecorded
        self._refuse(refusal, draft.client_id)

    async def _type(self, request: Typing) -> None:
        live, actor = self._live, self._actor
        try:
            decision = await live.appender.permit(actor, request.thread_id, live.hub.now())
        except DomainError as refusal:
            entity = ("thread", request.thread_id)
            await self._refused(Action.THREAD_TYPING, ActionCode.EXECUTE, refusal, self._origin(), entity)
            raise
        typist = (await live.directory.people([actor.engagement_id]))[actor.engagement_id]
        live.hub.typing(decision, request.thread_id, typist)

    async def _refused(
        self,
        action: str,
        action_code: ActionCode,
        refusal: DomainError,
        origin: Origin,
        entity: tuple[str, Any] | None = None,
    ) -> None:
        """Record a refusal.

        Raises:
            Unavailable: it could not be recorded, so it is not told either.
        """
        await record_refusal(
            self._live.refusals,
            action,
            action_code,
            refusal,
            origin=origin,
            actor=Who() if self._entered is None else who(self._actor),
            entity=entity,
        )
