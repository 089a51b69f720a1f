"""Where providers send browsers back to, and where they say that somebody left.

These two speak the provider's language and not ours: a browser is redirected or gets a page to read, in Dutch; a
provider sends a form. Source: OpenID Connect Core 3.1.2.5 and Back-Channel Logout 2.5; RFC 9207.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import orjson
import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.access.vocabulary import Action
from app.api import limits
from app.api.cookies import cookie_of
from app.api.deps import PublicContext, Services
from app.api.headers import request_id_of
from app.api.oidc import CLEARED, entry_of, seconds_of, secret_in
from app.api.oidc_pages import page_for
from app.api.problems import problem_of, render
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who, who
from app.core.db import FAILURES
from app.core.errors import DomainError, Unavailable
from app.core.ids import parse_id
from app.entitlement.refusals import record_refusal
from app.identity import service as identity
from app.identity.oidc import links, logout, service
from app.identity.oidc.refusals import LogInNotKnown, ProviderAnswerInvalid
from app.identity.oidc.rules import Proof
from app.identity.oidc.service import Answer, Purpose, UnderWay
from app.identity.signing_in import Delivery

CALLBACK: Final = "/api/v1/oidc-callback"
LOGOUT: Final = "/api/v1/oidc-logout"
PARAMETER_CHARS_MAX = 4096
NOTICE_BYTES_MAX = 64 * 1024
_FORM = re.compile(rb"application/x-www-form-urlencoded[ \t]*(?:;.{0,64})?", re.IGNORECASE)

router = APIRouter(include_in_schema=False)
log = structlog.get_logger()


@router.get(CALLBACK)
async def return_from_provider(request: Request) -> Response:
    """Take in whom a provider sends back: a session and a redirect to a path of ours, or a page that says why not."""
    ctx = _public(request)
    acting = _Acting(Action.LOGIN_ENTER)
    try:
        try:
            return await _return(request, ctx, acting)
        except FAILURES:
            raise Unavailable from None
    except DomainError as refusal:
        if isinstance(refusal, ProviderAnswerInvalid):
            log.warning("oidc.answer-invalid", provider=acting.provider, fault=refusal.fault)
        return await _refused(request, ctx, acting, refusal)


class _Acting:
    """What the record of a refusal says, as far as it is known."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self.who = Who()
        self.provider: str | None = None


async def _return(request: Request, ctx: PublicContext, acting: _Acting) -> Response:
    services, given = ctx.services, _parameters(request)
    secret = secret_in(request.headers.raw)
    if secret is None or "state" not in given:
        raise LogInNotKnown
    async with services.database.session() as db, db.begin():
        under_way = await service.take(
            db,
            services.providers,
            services.crypto.digests,
            state=given["state"],
            browser_secret=secret,
            now=services.clock(),
        )
    acting.provider = under_way.provider.key
    if under_way.purpose is Purpose.LINK:
        acting.action = Action.CREDENTIAL_ADD
        acting.who = Who(engagement_id=under_way.engagement_id, login_session_id=under_way.session_id)
    # An error beside a code is an error.
    answer = Answer(None if "error" in given else given.get("code"), given.get("iss"))
    proof = await service.prove(services.providers, under_way, answer, now=seconds_of(ctx))
    if under_way.purpose is Purpose.LINK:
        return await _link(ctx, under_way, proof)
    return await _log_in(ctx, acting, under_way, proof, secret)


async def _log_in(ctx: PublicContext, acting: _Acting, under_way: UnderWay, proof: Proof, secret: str) -> Response:
    """Begin the session, or for a program give the code that it fetches its tokens with."""
    services, digests = ctx.services, ctx.services.crypto.digests
    async with services.database.session() as db, db.begin():
        known = await service.recognise(db, digests, under_way.provider, proof)
        acting.who = Who(account_id=known.account_id)
        if under_way.delivery is Delivery.TOKENS:
            code = await service.hold(db, digests, known, browser_secret=secret, now=services.clock())
            content = {"code": code, "expiresIn": service.COMPLETION_SECONDS}
            return Response(orjson.dumps(content), media_type="application/json")
        signed_in = await service.sign_in(
            db, digests, services.issuer, known, delivery=under_way.delivery, now=services.clock()
        )
        await audit.record(db, [entry_of(ctx, signed_in)], at=signed_in.at, source=services.settings.audit_source)
    assert signed_in.cookie is not None
    return _redirect(under_way.return_to, cookie_of(signed_in.cookie), CLEARED)


async def _link(ctx: PublicContext, under_way: UnderWay, proof: Proof) -> Response:
    """Link the identity to whoever began this, if their session is still alive."""
    services = ctx.services
    assert under_way.session_id is not None
    async with services.database.session() as db, db.begin():
        entered = await identity.enter(
            db, under_way.session_id, services.clock(), engagement_id=under_way.engagement_id
        )
        identity_id = await links.link(db, services.crypto.digests, entered, proof)
        record = Record(
            Action.CREDENTIAL_ADD,
            ActionCode.CREATE,
            Outcome.SUCCESS,
            who(entered.actor),
            Touch("credential", identity_id),
            ctx.origin,
        )
        await audit.record(db, [record], at=entered.now, source=services.settings.audit_source)
    return _redirect(under_way.return_to, CLEARED)


@router.post(LOGOUT)
async def log_out_from_provider(request: Request) -> Response:
    """End the sessions that rest on one that a provider ended (back-channel logout), and their sockets."""
    ctx = _public(request)
    services = ctx.services
    try:
        limits.check_declared_body(request.scope, NOTICE_BYTES_MAX, _FORM)
        form = _pairs((await limits.read_body(request.receive, NOTICE_BYTES_MAX)).decode("latin-1"))
        provider, notice = await logout.read_notice(
            services.providers, form.get("logout_token", ""), now=seconds_of(ctx)
        )
        async with services.database.session() as db, db.begin():
            at = await identity.present_instant(db, services.clock())
            ended = await logout.log_out(db, services.crypto.digests, provider, notice, now=at)
            records = [
                Record(
                    Action.SESSION_END,
                    ActionCode.DELETE,
                    Outcome.SUCCESS,
                    Who(),
                    Touch("session", session),
                    ctx.origin,
                    reason="provider-logout",
                )
                for sessions in ended.values()
                for session in sessions
            ]
            await audit.record(db, records, at=at, source=services.settings.audit_source)
        await services.after_commit([], [session for sessions in ended.values() for session in sessions])
    except FAILURES:
        return _notice_refused(request, Unavailable())
    except DomainError as refusal:
        fault = refusal.fault if isinstance(refusal, ProviderAnswerInvalid) else refusal.code
        log.warning("oidc.answer-invalid", provider=None, fault=fault)
        await _record(ctx, _Acting(Action.SESSION_END), refusal)
        return _notice_refused(request, refusal)
    return Response(status_code=200)


def _notice_refused(request: Request, refusal: DomainError) -> Response:
    """Return a refusal: 400 for whatever is wrong with a notice, as the specification wants (2.8)."""
    if isinstance(refusal, ProviderAnswerInvalid):
        refusal = LogInNotKnown()
    return render(problem_of(refusal), request_id_of(request.scope))


async def _refused(request: Request, ctx: PublicContext, acting: _Acting, refusal: DomainError) -> Response:
    """Record a refusal and return the page, or to who does not read pages the problem."""
    try:
        await _record(ctx, acting, refusal)
    except Unavailable as unavailable:
        refusal = unavailable
    problem = problem_of(refusal)
    if "text/html" not in request.headers.get("accept", ""):
        answer = render(problem, request_id_of(request.scope))
    else:
        answer = Response(page_for(refusal.code), problem.status, dict(problem.headers), "text/html")
    if acting.provider is not None:  # somebody else's answer must not undo the log-in that is under way here
        answer.headers.append("Set-Cookie", CLEARED)
    return answer


async def _record(ctx: PublicContext, acting: _Acting, refusal: DomainError) -> None:
    await record_refusal(
        ctx.services.refusals,
        acting.action,
        ActionCode.EXECUTE,
        refusal,
        origin=ctx.origin,
        actor=acting.who,
        entity=None,
    )


def _redirect(path: str, *cookies: str) -> Response:
    answer = Response(status_code=303, headers={"Location": path})
    for cookie in cookies:
        answer.headers.append("Set-Cookie", cookie)
    return answer


def _public(request: Request) -> PublicContext:
    services: Services = request.app.state.services
    address = request.client.host if request.client else None
    origin = Origin("http", address, parse_id(request_id_of(request.scope)))
    return PublicContext(services, origin, sent=request.headers.raw)


def _parameters(request: Request) -> Mapping[str, str]:
    """Return what the provider said; its own further parameters are of no concern.

    Raises:
        LogInNotKnown: a parameter is there twice, or too long.
        Invalid: not text.
    """
    limits.check_query(request.scope)
    return _pairs(request.scope["query_string"].decode("latin-1"))


def _pairs(text: str) -> Mapping[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=None)
    found = dict(pairs)
    if len(found) != len(pairs) or any(len(value) > PARAMETER_CHARS_MAX * 4 for value in found.values()):
        raise LogInNotKnown
    return found
