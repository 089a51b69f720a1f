"""One's own ways to log in: password, authenticator, passkeys, the printed sheet."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field

from app.access.vocabulary import Action
from app.api.bodies import Body, Text
from app.api.deps import SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.passkeys import PasskeyChallengeOut, PasskeyIn
from app.api.schemas import At, PageQuery, page_of
from app.audit.records import ActionCode, Touch
from app.identity.factors import own
from app.identity.factors.own import Factor
from app.identity.factors.passwords import (
    LOGIN_NAME_CHARS_MAX,
    LOGIN_NAME_CHARS_MIN,
    PASSWORD_CHARS_MAX,
    PASSWORD_CHARS_MIN,
)
from app.identity.factors.totp import CODE_PATTERN

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["credentials"])


class CredentialKind(StrEnum):
    """What somebody logs in with."""

    PASSWORD = "password"  # noqa: S105  # a kind's name, not a secret
    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY_CODES = "recovery-codes"


class CredentialOut(Out):
    """A way to log in; ``remaining`` counts the unused codes of a printed sheet."""

    id: UUID
    kind: CredentialKind
    created_at: At
    last_used_at: At | None
    confirmed: bool
    remaining: int | None


class CredentialsOut(Out):
    """One's own ways to log in, newest first."""

    items: list[CredentialOut]
    next_cursor: str | None


class PasswordIn(Body):
    """A log-in name, in any case, and a password: twelve characters or more of anything."""

    login_name: Annotated[str, Text(LOGIN_NAME_CHARS_MIN, LOGIN_NAME_CHARS_MAX)]
    password: Annotated[str, Text(PASSWORD_CHARS_MIN, PASSWORD_CHARS_MAX)]


class PasskeyRegistrationIn(Body):
    """What the browser made of a challenge."""

    challenge_id: UUID
    credential: PasskeyIn


class TotpOut(Out):
    """A secret to put into an authenticator, shown once; ``address`` is what a QR code says."""

    id: UUID
    secret: str
    address: str


class TotpConfirmationIn(Body):
    """What the authenticator shows."""

    code: Annotated[str, Field(pattern=CODE_PATTERN)]


class RecoveryCodesOut(Out):
    """Ten codes to print, shown once; each works once, beside the password."""

    id: UUID
    codes: list[str]


def _out(factor: Factor) -> CredentialOut:
    return CredentialOut(
        id=factor.id,
        kind=CredentialKind(factor.kind),
        created_at=factor.created_at,
        last_used_at=factor.used_at,
        confirmed=factor.confirmed,
        remaining=factor.remaining,
    )


async def _render(ctx: SelfContext, factor_id: UUID) -> CredentialOut:
    ctx.touch(Touch("credential", factor_id))
    return _out(await own.find(ctx.db, ctx.permit, factor_id))


async def _own_name(ctx: SelfContext) -> str:
    people = await ctx.services.directory.people([ctx.actor.engagement_id])
    return people[ctx.actor.engagement_id].name


@router.get("/credentials")
@operation(Scope.SELF, Action.CREDENTIAL_LIST, ActionCode.READ, Content.NONE)
async def list_credentials(ctx: SelfContext, query: PageQuery) -> CredentialsOut:
    """List one's own ways to log in; nothing of what is secret about them."""
    found = await own.list_factors(ctx.db, ctx.permit)
    shown, cursor = page_of(ctx, found, query, "credentials", lambda factor: factor.id)
    return CredentialsOut(items=[_out(factor) for factor in shown], next_cursor=cursor)


@router.post("/passwords", status_code=201)
@operation(Scope.SELF, Action.CREDENTIAL_ADD, ActionCode.CREATE, Content.NONE)
async def set_password(ctx: SelfContext, body: PasswordIn) -> CredentialOut:
    """Set log-in name and password, in place of those before; a replacement ends one's other sessions."""
    ended = await own.set_password(
        ctx.db,
        ctx.permit,
        ctx.services.means,
        login_name=body.login_name,
        password=body.password,
        factor_id=ctx.resource_id,
    )
    ctx.ended_sessions.update(ended)
    found = await own.list_factors(ctx.db, ctx.permit)
    return await _render(ctx, next(factor.id for factor in found if factor.kind == CredentialKind.PASSWORD))


@router.post("/totp", status_code=201)
@operation(Scope.SELF, Action.CREDENTIAL_ADD, ActionCode.CREATE, Content.NONE)
async def begin_totp(ctx: SelfContext) -> TotpOut:
    """Make a secret for an authenticator; it counts once a code is confirmed. One that was not is dropped."""
    made = await own.begin_totp(
        ctx.db, ctx.permit, ctx.services.means, name=await _own_name(ctx), factor_id=ctx.resource_id
    )
    ctx.touch(Touch("credential", made.id))
    return TotpOut(id=made.id, secret=made.secret, address=made.address)


@router.post("/totp/confirmation", status_code=201)
@operation(Scope.SELF, Action.CREDENTIAL_ADD, ActionCode.UPDATE, Content.NONE)
async def confirm_totp(ctx: SelfContext, body: TotpConfirmationIn) -> CredentialOut:
    """Confirm that the authenticator shows the right codes; from now on it counts, in place of the one before."""
    factor = await own.confirm_totp(ctx.db, ctx.permit, ctx.services.means, body.code)
    ctx.touch(Touch("credential", factor.id))
    return _out(factor)


@router.post("/recovery-codes", status_code=201)
@operation(Scope.SELF, Action.CREDENTIAL_ADD, ActionCode.CREATE, Content.NONE)
async def make_recovery_codes(ctx: SelfContext) -> RecoveryCodesOut:
    """Make a sheet of ten codes to print; the sheet before it is void."""
    codes = await own.new_recovery_codes(ctx.db, ctx.permit, ctx.services.means, sheet_id=ctx.resource_id)
    ctx.touch(Touch("credential", ctx.resource_id))
    return RecoveryCodesOut(id=ctx.resource_id, codes=codes)


@router.post("/passkeys/challenges", status_code=201)
@operation(Scope.SELF, Action.CREDENTIAL_ADD, ActionCode.EXECUTE, Content.NONE)
async def begin_passkey(ctx: SelfContext) -> PasskeyChallengeOut:
    """Give a challenge to register a passkey against. Good once, for 5 minutes, for oneself."""
    made = await own.begin_passkey(ctx.db, ctx.permit, ctx.services.means, name=await _own_name(ctx))
    return PasskeyChallengeOut(challenge_id=made.id, public_key=made.options)


@router.post("/passkeys", status_code=201)
@operation(Scope.SELF, Action.CREDENTIAL_ADD, ActionCode.CREATE, Content.NONE, replay=_render)
async def add_passkey(ctx: SelfContext, body: PasskeyRegistrationIn) -> CredentialOut:
    """Register a passkey; it must verify its user, and is two factors by itself."""
    await own.add_passkey(
        ctx.db,
        ctx.permit,
        ctx.services.means,
        challenge_id=body.challenge_id,
        credential=body.credential.plain(),
        factor_id=ctx.resource_id,
    )
    return await _render(ctx, ctx.resource_id)


@router.delete("/credentials/{credentialId}", status_code=204)
@operation(Scope.SELF, Action.CREDENTIAL_REMOVE, ActionCode.DELETE, Content.NONE)
async def remove_credential(
    ctx: SelfContext, credential_id: Annotated[UUID, Path(alias="credentialId", description="The way to log in.")]
) -> None:
    """Take one's own way to log in away, but never the last; one's other sessions end."""
    ctx.ended_sessions.update(await own.remove(ctx.db, ctx.permit, credential_id))
    ctx.touch(Touch("credential", credential_id))
