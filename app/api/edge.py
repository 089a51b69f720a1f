"""The edge: in which order a request is checked, and what surrounds every operation.

Host, route and method come before it (``limits``, the router). Then, for every operation alike: credential (401),
size and media type (413, 415), permit (403, 404), query and body (400, all errors at once), the operation, its audit
records, the commit, and only then the first byte of the answer. A refusal rolls back and is recorded apart.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import signature
from typing import Any, get_args, get_type_hints
from uuid import UUID

import structlog
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from app.access import policy
from app.access.policy import CasePermit, Permit
from app.api import bodies, limits
from app.api.bodies import Body, faults_of
from app.api.cookies import Browser
from app.api.credentials import Credential, credential_of, enter, recall, vouch
from app.api.deps import AppendContext, Context, Page, PublicContext, Services, case_touch
from app.api.operations import ACCESS_MEMBER, Operation, Query, Scope
from app.api.possession import require_possession
from app.api.problems import MethodNotAllowed, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who, who
from app.core.db import FAILURES
from app.core.errors import DomainError, Fault, Invalid, NotFound, Unavailable
from app.core.ids import ThreadId, new_id, parse_id
from app.entitlement.permits import case_permit
from app.entitlement.refusals import record_refusal
from app.events import service as events
from app.identity.service import Entered
from app.identity.tokens import Claims, TokenInvalid

log = structlog.get_logger()
KEY_HEADER = b"idempotency-key"
KEY_LENGTH_MAX = 128
RUNS_MAX = 3
LOST_TO_ANOTHER = frozenset({"40001", "40P01"})
"""SQLSTATEs of a transaction that did nothing wrong: serialization failure, deadlock."""
KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes a retry safe: the same key and body again have no second effect.",
    "schema": {"type": "string", "pattern": f"^[!-~]{{1,{KEY_LENGTH_MAX}}}$"},
}

Endpoint = Callable[..., Awaitable[BaseModel | None]]


@dataclass(slots=True)
class Incoming:
    """What is known of a request as it passes the checks, for the record of a refusal."""

    request: Request
    services: Services
    operation: Operation
    origin: Origin
    credential: Credential | None = None
    entered: Entered | None = None
    entity: tuple[str, UUID] | None = None


class OperationRoute(APIRoute):
    """A route that was declared with :func:`app.api.operations.operation`; an undeclared one cannot be built."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        declared = _declared(endpoint)
        said: dict[str, Any] = {ACCESS_MEMBER: declared.described()}
        if declared.takes_key:
            said["parameters"] = [KEY_PARAMETER]
        options["openapi_extra"] = {**(options.get("openapi_extra") or {}), **said}
        super().__init__(path, endpoint, **options)
        self._answer_to = self.get_route_handler()

    async def handle(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer, or name every method that this address has; the framework would name those of one route."""
        if scope["method"] not in (self.methods or ()):
            known = scope["app"].openapi()["paths"].get(self.path, self.methods or ())
            raise MethodNotAllowed(method.upper() for method in known)
        # Straight to our handler: the framework's own way there is for dependencies, which operations do not have.
        response = await self._answer_to(Request(scope, receive, send))
        await response(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that runs this operation's checks in order."""
        declared = _declared(self.endpoint)
        inputs = _inputs_of(self.endpoint)
        status = self.status_code or 200

        async def handle(request: Request) -> Response:
            services: Services = request.app.state.services
            origin = Origin("http", request.client.host if request.client else None, _request_id(request))
            incoming = Incoming(request, services, declared, origin)
            try:
                return await _handle(incoming, self.endpoint, inputs, status)
            except DomainError as refusal:
                await _refused(incoming, refusal)
                if declared.dialect.refuse is not None:
                    return declared.dialect.refuse(refusal, str(_request_id(request)))
                raise
            except FAILURES as error:
                log.warning("database.unavailable", error=type(error).__name__, sqlstate=_sqlstate(error))
                raise Unavailable from None

        return handle


async def _refused(incoming: Incoming, refusal: DomainError) -> None:
    await record_refusal(
        incoming.services.refusals,
        incoming.operation.action,
        incoming.operation.audit,
        refusal,
        origin=incoming.origin,
        actor=_as_far_as_known(incoming, refusal),
        entity=incoming.entity,
    )


def _declared(endpoint: Callable[..., Any]) -> Operation:
    declared = getattr(endpoint, "operation", None)
    if not isinstance(declared, Operation):
        raise TypeError(f"{endpoint.__qualname__} declares no action, category and audit class")
    return declared


def _as_far_as_known(incoming: Incoming, refusal: DomainError) -> Who | None:
    """Return who was refused: from the session, else from the token, else nobody named; None without a credential."""
    if incoming.entered is not None:
        return who(incoming.entered.actor)
    claims = incoming.credential
    if isinstance(claims, Claims):
        return Who(account_id=claims.sub, engagement_id=claims.eng, login_session_id=claims.sid)
    return Who() if claims is not None or isinstance(refusal, TokenInvalid) else None


def _request_id(request: Request) -> UUID:
    return UUID(request.scope["state"]["request_id"])


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an endpoint's signature asks for: names of path ids, a query model, a body model or the body's bytes.

    ``raw`` is the name of the parameter that takes the bytes: for operations of another standard's dialect.
    """

    path: dict[str, str]
    query: type[Query] | None
    body: type[Body] | None
    raw: str | None = None


def _inputs_of(endpoint: Endpoint) -> Inputs:
    """Return what the signature of an endpoint asks for."""
    hints = get_type_hints(endpoint, include_extras=True)
    path: dict[str, str] = {}
    query: type[Query] | None = None
    body: type[Body] | None = None
    raw: str | None = None
    for name in signature(endpoint).parameters:
        hint = hints[name]
        bare = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
        alias = next((m.alias for m in getattr(hint, "__metadata__", ()) if getattr(m, "alias", None)), None)
        if alias is not None:
            path[name] = alias
        elif isinstance(bare, type) and issubclass(bare, Query):
            query = bare
        elif isinstance(bare, type) and issubclass(bare, Body):
            body = bare
        elif bare is bytes:
            raw = name
        else:
            raise TypeError(f"{endpoint.__qualname__} takes {name}, which the edge cannot give")
    return Inputs(path, query, body, raw)


async def _handle(incoming: Incoming, endpoint: Endpoint, inputs: Inputs, status: int) -> Response:
    """Check, run, record, commit, answer."""
    operation, request = incoming.operation, incoming.request
    raw = await _authenticated_body(incoming)
    if operation.scope is Scope.PUBLIC:
        arguments, _ = _arguments(request, raw, inputs, {}, operation)
        public = PublicContext(incoming.services, incoming.origin, sent=request.headers.raw)
        content = _json(await endpoint(public, **arguments))
        return _with_cookies(Response(content, status, media_type=operation.dialect.answers), public.cookies)
    if operation.appends:
        return await _handle_append(incoming, endpoint, inputs, raw, status)
    if operation.exports:
        return await _handle_export(incoming, endpoint, inputs, status)
    prepared = await _prepared(incoming, inputs, raw)
    for again in range(RUNS_MAX, 0, -1):
        try:
            return await _handle_once(incoming, endpoint, inputs, (raw, prepared), status)
        except DBAPIError as error:
            # Two waited for one another, and this one was rolled back so that the other could go on; or a connection
            # that had rested in the pool was gone, and for a read nothing depends on how far it came.
            stale = error.connection_invalidated and incoming.request.method == "GET"
            if not (stale or _sqlstate(error) in LOST_TO_ANOTHER) or again == 1:
                raise
    raise AssertionError("the last run returns or raises")


async def _handle_once(
    incoming: Incoming, endpoint: Endpoint, inputs: Inputs, given: tuple[bytes, object], status: int
) -> Response:
    """Permit, run and record in one transaction, commit, answer; ``given`` is the body and what was prepared."""
    (raw, prepared), operation, request = given, incoming.operation, incoming.request
    async with incoming.services.database.session() as db:
        async with db.begin():
            ids = {name: parse_id(request.path_params[alias]) for name, alias in inputs.path.items()}
            context = await _permit(incoming, db, ids)
            context.if_match, context.prepared = _if_match(request), prepared
            arguments, key = _arguments(request, raw, inputs, ids, operation)
            output, replayed = await _run(incoming, context, endpoint, arguments, (key, raw))
            await _record(incoming, context, replayed=replayed)
            answer = _answer(incoming, context, output, status=context.status or status, replayed=replayed)
            answer = _with_cookies(answer, context.cookies)
        await incoming.services.after_commit(context.moved, context.ended_sessions)
    return answer


async def _handle_export(incoming: Incoming, endpoint: Endpoint, inputs: Inputs, status: int) -> Response:
    """Answer with page after page, each read under the rights of that moment and recorded before it leaves."""
    first = await _page(incoming, endpoint, inputs, None)
    pages = _pages(incoming, endpoint, inputs, first)
    headers = {"Content-Disposition": f'attachment; filename="{first.name}"'}
    return StreamingResponse(pages, status, headers, first.media)


async def _page(incoming: Incoming, endpoint: Endpoint, inputs: Inputs, position: object) -> Page:
    async with incoming.services.database.session() as db, db.begin():
        context = await _permit(incoming, db, {})
        context.position = position
        arguments, _ = _arguments(incoming.request, b"", inputs, {}, incoming.operation)
        await endpoint(context, **arguments)
        await _record(incoming, context, replayed=False)
    assert context.page is not None
    return context.page


async def _pages(incoming: Incoming, endpoint: Endpoint, inputs: Inputs, page: Page) -> AsyncIterator[bytes]:
    """Yield the pages; a refusal in between breaks the answer off, so that nobody takes a part for the whole."""
    yield page.content
    while page.after is not None:
        try:
            page = await _page(incoming, endpoint, inputs, page.after)
        except DomainError as refusal:
            await _refused(incoming, refusal)
            raise
        yield page.content


async def _prepared(incoming: Incoming, inputs: Inputs, raw: bytes) -> object:
    """Return what the operation fetches elsewhere before its transaction; the refusal of a bad body comes later."""
    prepare = incoming.operation.prepare
    if prepare is None or inputs.body is None:
        return None
    try:
        body = bodies.read_body(raw, inputs.body)
    except Invalid:
        return None
    return await prepare(incoming.services, body)


async def _authenticated_body(incoming: Incoming) -> bytes:
    """Check the credential, then size and media type, and return the body unread so far by anybody.

    Raises:
        Unauthenticated, NotFound, PayloadTooLarge, UnsupportedMediaType, RequestTimeout: in that order.
    """
    request, operation = incoming.request, incoming.operation
    if operation.demo and not incoming.services.settings.demo:
        raise NotFound
    if operation.scope is not Scope.PUBLIC:
        incoming.credential = credential_of(request, incoming.services)
        if isinstance(incoming.credential, Claims):
            await incoming.services.rates.count(incoming.credential)
            await require_possession(request, incoming.services, incoming.credential)
        else:
            incoming.services.rates.count_browser(incoming.credential.digest)
    elif operation.limited:
        incoming.services.rates.count_source(incoming.origin.access_point)
    try:
        limits.check_declared_body(request.scope, media=operation.dialect.accepts)
        return await limits.read_body(request.receive) if _has_body(request) else b""
    except (PayloadTooLarge, UnsupportedMediaType, RequestTimeout):
        # The session is looked up with the permit, once the body is there. A body that is refused is no way to find
        # out how long a token of an ended session goes on being one.
        if incoming.credential is not None:
            async with incoming.services.database.session() as db, db.begin():
                await _enter(incoming, incoming.credential, db)
        raise


def _has_body(request: Request) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in request.scope["headers"])


async def _handle_append(incoming: Incoming, endpoint: Endpoint, inputs: Inputs, raw: bytes, status: int) -> Response:
    """Handle a post, which goes through the appender: it decides, writes and records in a statement of its own."""
    services, credential = incoming.services, incoming.credential
    assert credential is not None
    incoming.entered = entered = await recall(services, credential)
    vouch(incoming.request, services, credential, entered)
    # The role before the look-up: whom no thread is open to must not learn which threads there are.
    policy.authorize_self(entered.actor, incoming.operation.action, now=entered.now)
    ids = {name: parse_id(incoming.request.path_params[alias]) for name, alias in inputs.path.items()}
    thread_id = next(iter(ids.values()))
    if thread_id is None:
        raise NotFound
    incoming.entity = ("thread", thread_id)
    await services.appender.permit(entered.actor, ThreadId(thread_id), services.clock() or datetime.now(UTC))
    arguments, key = _arguments(incoming.request, raw, inputs, ids, incoming.operation)
    context = AppendContext(services, entered.actor, incoming.origin, key)
    output = await endpoint(context, **arguments)
    headers = {"Idempotent-Replayed": "true"} if context.replayed else {}
    return Response(_json(output), status, headers, "application/json")


async def _enter(incoming: Incoming, credential: Credential, db: AsyncSession) -> Entered:
    """Enter the transaction; whoever entered is known for the record, even if the request is not truly theirs."""
    incoming.entered = entered = await enter(incoming.services, credential, db)
    vouch(incoming.request, incoming.services, credential, entered)
    return entered


async def _permit(incoming: Incoming, db: AsyncSession, ids: dict[str, UUID | None]) -> Context[Any]:
    """Enter the transaction and ask the policy.

    Raises:
        Unauthenticated: the session has ended.
        Forbidden, NotFound: the policy says no; an id that does not parse is not there.
    """
    operation, services, credential = incoming.operation, incoming.services, incoming.credential
    assert credential is not None
    entered = await _enter(incoming, credential, db)
    permit: Permit
    if operation.scope is Scope.ROLE:
        permit = policy.authorize_role(entered.actor, operation.action, now=entered.now)
    else:
        permit = policy.authorize_self(entered.actor, operation.action, now=entered.now)
    entity_id = None if operation.entity is None else ids[operation.entity.parameter]
    if operation.entity is not None and entity_id is not None:
        incoming.entity = (operation.entity.kind, entity_id)
    if any(value is None for value in ids.values()):
        raise NotFound
    if operation.entity is not None and entity_id is not None:
        permit = await case_permit(db, entered, operation.action, operation.entity.kind, entity_id)
    context = Context(services, db, entered.actor, entered.now, permit, operation.action, incoming.origin, new_id())
    context.browser = credential if isinstance(credential, Browser) else None
    return context


def _arguments(
    request: Request, raw: bytes, inputs: Inputs, ids: dict[str, UUID | None], operation: Operation
) -> tuple[dict[str, Any], bytes | None]:
    """Return the endpoint's arguments, parsed, and the idempotency key.

    Raises:
        Invalid: every fault of the query, the body and the key.
    """
    arguments: dict[str, Any] = dict(ids)
    faults: list[Fault] = []
    key = None
    try:
        parsed = _query(request, inputs.query)
        if parsed is not None:
            arguments["query"] = parsed
    except Invalid as invalid:
        faults += invalid.faults
    try:
        if inputs.raw is not None:
            arguments[inputs.raw] = raw
        elif inputs.body is not None or raw:
            body = bodies.read_body(raw or _EMPTY[operation.body_optional], inputs.body or Body)
            if inputs.body is not None:
                arguments["body"] = body
    except Invalid as invalid:
        faults += invalid.faults
    try:
        key = _idempotency_key(request) if operation.takes_key else None
    except Invalid as invalid:
        faults += invalid.faults
    if faults:
        raise Invalid(*faults)
    return arguments, key


_EMPTY = {True: b"{}", False: b""}


def _query(request: Request, model: type[Query] | None) -> Query | None:
    limits.check_query(request.scope)
    given = request.query_params
    if model is None:
        if given:
            raise Invalid(Fault("?", "unknown-parameter", "This operation takes no query parameters."))
        return None
    pairs = given.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise Invalid(Fault("?", "repeated-parameter", "A query parameter is given twice."))
    try:
        return model.model_validate(dict(pairs))
    except ValidationError as error:
        faults = faults_of(error, model)
    raise Invalid(*(Fault("?" + fault.pointer.removeprefix("/"), fault.code, fault.detail) for fault in faults))


async def _run(
    incoming: Incoming,
    context: Context[Any],
    endpoint: Endpoint,
    arguments: dict[str, Any],
    keyed: tuple[bytes | None, bytes],
) -> tuple[BaseModel | None, bool]:
    """Run the operation, or render what an earlier run with the same idempotency key made.

    ``keyed`` is that key, and the body it stands for.
    """
    replay = incoming.operation.replay
    key, raw = keyed
    if key is None or replay is None:
        return await endpoint(context, **arguments), False
    digests = context.crypto.digests
    key_digest = digests.digest("idempotency-key", key)
    body_digest = digests.digest("idempotency-body", incoming.request.url.path.encode(), raw)
    earlier = await events.earlier_resource(
        context.db, context.actor, incoming.operation.action, key_digest, body_digest, at=context.now
    )
    if earlier is not None:
        return await replay(context, earlier), True
    output = await endpoint(context, **arguments)
    if context.status is not None:
        return output, False  # Nothing was made, so a retry does no harm and gets the same answer.
    await events.remember_key(
        context.db,
        context.actor,
        incoming.operation.action,
        key_digest,
        body_digest,
        context.resource_id,
        at=context.now,
    )
    return output, False


def _if_match(request: Request) -> str | None:
    """Return the one entity tag that an update is based on; anything else in its place matches nothing."""
    values = request.headers.getlist("if-match")
    return ", ".join(values) if values else None


def _idempotency_key(request: Request) -> bytes | None:
    """Return the request's idempotency key.

    Raises:
        Invalid: several keys, or not 1 to 128 visible ASCII characters.
    """
    values = [value for name, value in request.scope["headers"] if name == KEY_HEADER]
    if not values:
        return None
    key: bytes = values[0]
    if len(values) > 1 or not 1 <= len(key) <= KEY_LENGTH_MAX or not all(0x21 <= byte <= 0x7E for byte in key):
        raise Invalid(
            Fault("", "idempotency-key-invalid", "Idempotency-Key takes 1 to 128 visible ASCII characters.")
        )
    return key


async def _record(incoming: Incoming, context: Context[Any], *, replayed: bool) -> None:
    """Write the audit records of a success into its own transaction; a replay only read what was made before."""
    operation = incoming.operation
    touches = context.touched or [_default_touch(context, incoming.entity)]
    records = [
        Record(
            action=operation.action,
            action_code=ActionCode.READ if replayed else operation.audit,
            outcome=Outcome.SUCCESS,
            who=who(context.actor),
            touch=touch,
            origin=incoming.origin,
        )
        for touch in touches
    ]
    await audit.record(context.db, records, at=context.now, source=incoming.services.settings.audit_source)


def _default_touch(context: Context[Any], entity: tuple[str, UUID] | None) -> Touch:
    """Return what was touched where nothing was shown: the thread or message without anything, else the case."""
    permit = context.permit
    if isinstance(permit, CasePermit):
        cell = permit.standing.entity.cell
        if cell is not None and entity is not None:
            kind, entity_id = entity
            labels = {"patient_id": cell.patient_id, "category": cell.category, "domain": cell.domain}
            return case_touch(permit, kind, entity_id, **labels)
        subjects = permit.standing.subjects
        return case_touch(permit, "case", permit.case_id, patient_id=subjects[0] if len(subjects) == 1 else None)
    return Touch(context.action.partition(":")[0])


def _json(output: BaseModel | None) -> bytes:
    return b"" if output is None else output.model_dump_json(by_alias=True, exclude_unset=True).encode()


def _with_cookies(answer: Response, cookies: Iterable[str]) -> Response:
    for cookie in cookies:
        answer.headers.append("Set-Cookie", cookie)
    return answer


def _without_cursor(output: BaseModel) -> BaseModel:
    return output.model_copy(update={"next_cursor": None})


def _answer(
    incoming: Incoming, context: Context[Any], output: BaseModel | None, *, status: int, replayed: bool
) -> Response:
    """Return the answer; only set fields are shown, so what is hidden is absent and what is empty is null."""
    if output is None:
        return Response(status_code=204, headers=context.headers)
    content = _json(output)
    headers = dict(context.headers)
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if incoming.request.method == "GET" and incoming.operation.entity is not None:
        # Of what is shown and not of the cursor, which is sealed anew each time.
        shown = content if "next_cursor" not in type(output).model_fields else _json(_without_cursor(output))
        digest = context.crypto.digests.digest("etag", context.actor.account_id.bytes, shown)
        headers["ETag"] = f'"{digest.hex()[:32]}"'
    return Response(content, status, headers, incoming.operation.dialect.answers)
