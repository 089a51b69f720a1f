"""Log-in with an OpenID provider elsewhere, and the identities that are linked to one's account."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field

from app.access.vocabulary import Action
from app.api.bodies import Body, unfit
from app.api.cookies import secrets_in
from app.api.deps import PublicContext, SelfContext, Services
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.schemas import At, PageQuery, page_of
from app.api.signing_in import SignedInOut, signed_in_out
from app.audit import service as audit
from app.audit.records import ActionCode, Outcome, Record, Touch, Who
from app.core.errors import DomainError, Fault, Invalid
from app.core.providers import Audience, OidcProvider
from app.entitlement.refusals import record_refusal
from app.identity import service as identity
from app.identity.oidc import links, service
from app.identity.oidc.refusals import LogInNotKnown, ProviderUnavailable
from app.identity.oidc.rules import RETURN_TO_MAX, is_local_path
from app.identity.signing_in import Delivery, SignedIn

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["identity"])

OPEN: dict[str, Any] = {"security": []}
COOKIE = "__Host-overlegtafel-log-in"
# Lax: the browser comes back from another site, and must bring it along.
ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"
CLEARED = f"{COOKIE}=; Max-Age=0; {ATTRIBUTES}"
SECRET_CHARS_MAX = 64


def _local(path: str) -> str:
    if not is_local_path(path):
        raise unfit("not-a-local-path", "This must be a path of this service, such as /zaken.")
    return path


ProviderKey = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
ReturnTo = Annotated[str, Field(max_length=RETURN_TO_MAX), AfterValidator(_local)]


class LogInProviderOut(Out):
    """A provider to log in with; ``label`` is what people read, in Dutch."""

    key: str
    label: str
    audience: Audience


class LogInProvidersOut(Out):
    """The providers, as the operator ordered them."""

    items: list[LogInProviderOut]
    next_cursor: str | None


class OidcLogInIn(Body):
    """With which provider. ``fresh`` asks for the factors anew, ``returnTo`` is where the browser goes afterwards."""

    provider: ProviderKey
    delivery: Delivery = Delivery.COOKIE
    return_to: ReturnTo = "/"
    fresh: bool = False


class OidcBegunOut(Out):
    """Where to send the browser that got the cookie of this answer."""

    authorization_url: str


class OidcCompletionIn(Body):
    """The code that the provider's answer was turned into."""

    code: Annotated[str, Field(min_length=1, max_length=SECRET_CHARS_MAX)]


class ExternalIdentityIn(Body):
    """With which provider; ``returnTo`` is where the browser goes afterwards."""

    provider: ProviderKey
    return_to: ReturnTo = "/"


class ExternalIdentityOut(Out):
    """An identity that is linked to one's account. ``provider`` is null when that is no longer configured."""

    id: UUID
    provider: str | None
    issuer: str
    linked_at: At


class ExternalIdentitiesOut(Out):
    """One's own linked identities, oldest first."""

    items: list[ExternalIdentityOut]
    next_cursor: str | None


@router.get("/log-in-providers", openapi_extra=OPEN)
@operation(Scope.PUBLIC, Action.SYSTEM_READ, ActionCode.READ, Content.NONE)
async def list_log_in_providers(ctx: PublicContext) -> LogInProvidersOut:
    """List the providers to log in with."""
    items = [
        LogInProviderOut(key=provider.key, label=provider.label, audience=provider.audience)
        for provider in ctx.services.providers.all
    ]
    return LogInProvidersOut(items=items, next_cursor=None)


@router.post("/oidc-log-ins", status_code=201, openapi_extra=OPEN)
@operation(Scope.PUBLIC, Action.LOGIN_ENTER, ActionCode.EXECUTE, Content.NONE)
async def begin_oidc_log_in(ctx: PublicContext, body: OidcLogInIn) -> OidcBegunOut:
    """Begin a log-in; the browser that goes on must be the one that gets this answer's cookie."""
    services = ctx.services
    provider = _provider(ctx, body.provider)
    asked = service.ask(services.crypto.digests, provider, fresh=body.fresh)
    url = await service.authorization_url(services.providers, asked, now=seconds_of(ctx))
    async with services.database.session() as db, db.begin():
        await service.begin(
            db,
            services.crypto.digests,
            asked,
            delivery=body.delivery,
            return_to=body.return_to,
            linking=None,
            now=services.clock(),
        )
    ctx.cookies.append(cookie_of(asked.browser_secret))
    return OidcBegunOut(authorization_url=url)


@router.post("/oidc-log-ins/completion", status_code=201, openapi_extra=OPEN)
@operation(Scope.PUBLIC, Action.LOGIN_ENTER, ActionCode.EXECUTE, Content.NONE)
async def complete_oidc_log_in(ctx: PublicContext, body: OidcCompletionIn) -> SignedInOut:
    """Fetch the tokens of a log-in that was begun with ``delivery`` ``tokens``: once, within a minute."""
    try:
        signed_in = await _complete(ctx, body.code)
    except DomainError as refusal:
        await record_refusal(
            ctx.services.refusals,
            Action.LOGIN_ENTER,
            ActionCode.EXECUTE,
            refusal,
            origin=ctx.origin,
            actor=Who(),
            entity=None,
        )
        raise
    ctx.cookies.append(CLEARED)
    return await signed_in_out(ctx, signed_in)


async def _complete(ctx: PublicContext, code: str) -> SignedIn:
    services, digests = ctx.services, ctx.services.crypto.digests
    secret = secret_in(ctx.sent)
    if secret is None:
        raise LogInNotKnown
    async with services.database.session() as db, db.begin():
        known = await service.fetch(
            db, services.providers, digests, code=code, browser_secret=secret, now=services.clock()
        )
        signed_in = await service.sign_in(
            db, digests, services.issuer, known, delivery=Delivery.TOKENS, now=services.clock()
        )
        await audit.record(db, [entry_of(ctx, signed_in)], at=signed_in.at, source=services.settings.audit_source)
    return signed_in


@dataclass(frozen=True, slots=True)
class _ToLink:
    """A linking to begin, and where to go for it; nowhere when the provider does not answer."""

    asking: service.Asking
    url: str | None


async def _ask_to_link(services: Services, body: ExternalIdentityIn) -> _ToLink | None:
    """Ask the provider, before the transaction: none waits for somebody else's service."""
    provider = services.providers.named(body.provider)
    if provider is None:
        return None
    asking = service.ask(services.crypto.digests, provider, fresh=False)
    try:
        return _ToLink(
            asking, await service.authorization_url(services.providers, asking, now=present_second(services))
        )
    except ProviderUnavailable:
        return _ToLink(asking, None)


@router.post("/external-identities", status_code=201)
@operation(Scope.SELF, Action.CREDENTIAL_ADD, ActionCode.EXECUTE, Content.NONE, prepare=_ask_to_link)
async def begin_linking(ctx: SelfContext, body: ExternalIdentityIn) -> OidcBegunOut:
    """Begin linking an identity to one's account: from then on one logs in with it. Needs a factor shown just now."""
    services = ctx.services
    provider = _provider(ctx, body.provider)
    links.require_may_link(ctx.actor, now=ctx.now)
    await links.require_audience(ctx.db, ctx.actor, provider, now=ctx.now)
    to_link = ctx.prepared
    if not isinstance(to_link, _ToLink) or to_link.url is None:
        raise ProviderUnavailable
    await identity.hold_factors(ctx.db, ctx.actor)
    await service.begin(
        ctx.db,
        services.crypto.digests,
        to_link.asking,
        delivery=Delivery.COOKIE,
        return_to=body.return_to,
        linking=ctx.actor,
        now=ctx.now,
    )
    ctx.cookies.append(cookie_of(to_link.asking.browser_secret))
    return OidcBegunOut(authorization_url=to_link.url)


@router.get("/external-identities")
@operation(Scope.SELF, Action.CREDENTIAL_LIST, ActionCode.READ, Content.NONE)
async def list_external_identities(ctx: SelfContext, query: PageQuery) -> ExternalIdentitiesOut:
    """List the identities that are linked to one's account."""
    found = await links.own_identities(ctx.db, ctx.services.providers, ctx.permit)
    shown, cursor = page_of(ctx, found, query, "external-identities", lambda one: one.id)
    items = [
        ExternalIdentityOut(id=one.id, provider=one.provider, issuer=one.issuer, linked_at=one.linked_at)
        for one in shown
    ]
    return ExternalIdentitiesOut(items=items, next_cursor=cursor)


@router.delete("/external-identities/{identityId}", status_code=204)
@operation(Scope.SELF, Action.CREDENTIAL_REMOVE, ActionCode.DELETE, Content.NONE)
async def unlink_identity(
    ctx: SelfContext, identity_id: Annotated[UUID, Path(alias="identityId", description="The linked identity.")]
) -> None:
    """Unlink an identity, and end the sessions that rest on it; never the last way in."""
    ctx.ended_sessions.update(await links.unlink(ctx.db, ctx.permit, identity_id))
    ctx.touch(Touch("credential", identity_id))


def _provider(ctx: PublicContext | SelfContext, key: str) -> OidcProvider:
    provider = ctx.services.providers.named(key)
    if provider is None:
        raise Invalid(Fault("/provider", "unknown-value", "There is no such provider."))
    return provider


def seconds_of(ctx: PublicContext) -> int:
    """Return the present instant in seconds, for what is compared with another's clock."""
    return present_second(ctx.services)


def present_second(services: Services) -> int:
    """Return the present instant in seconds."""
    return int((services.clock() or datetime.now(UTC)).timestamp())


def cookie_of(secret: str) -> str:
    """Return the header that binds a log-in under way to this browser."""
    return f"{COOKIE}={secret}; Max-Age={service.LOG_IN_SECONDS}; {ATTRIBUTES}"


def secret_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the secret of the log-in under way in this browser; None without one, or with several."""
    found = secrets_in(headers, COOKIE)
    return found[0] if len(found) == 1 and 0 < len(found[0]) <= SECRET_CHARS_MAX else None


def entry_of(ctx: PublicContext, signed_in: SignedIn) -> Record:
    """Return the record of a log-in."""
    who = Who(
        account_id=signed_in.account_id,
        engagement_id=signed_in.engagement_id,
        login_session_id=signed_in.session_id,
    )
    touch = Touch("session", signed_in.session_id)
    return Record(Action.LOGIN_ENTER, ActionCode.EXECUTE, Outcome.SUCCESS, who, touch, ctx.origin)
