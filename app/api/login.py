"""Logging in with a password and a second factor, a passkey, or a one-time code; and showing a factor again."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, model_validator

from app.access.vocabulary import Acr, Action
from app.api.bodies import Body, Day, Text, unfit
from app.api.deps import PublicContext, SelfContext
from app.api.edge import OperationRoute
from app.api.operations import Content, Out, Scope, operation
from app.api.passkeys import PasskeyChallengeOut, PasskeyIn
from app.api.schemas import At
from app.api.signing_in import SignedInOut, signed_in_out
from app.audit.records import ActionCode, Touch
from app.entitlement import activation
from app.identity.factors import login, reauthentication
from app.identity.factors.checking import PasskeyShown, PasswordShown
from app.identity.factors.codes import TYPED_CHARS_MAX
from app.identity.factors.login import NamedDevice, Wanted
from app.identity.factors.passwords import LOGIN_NAME_CHARS_MAX, PASSWORD_CHARS_MAX
from app.identity.factors.throttle import DEVICE_CHARS_MAX
from app.identity.signing_in import Delivery, access_token
from app.identity.tokens import TOKEN_SECONDS

router = APIRouter(prefix="/api/v1", route_class=OperationRoute, tags=["log-in"])

WORKPLACE_KEY_CHARS_MAX = 128
OPEN: dict[str, Any] = {"security": []}
REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"description": "It opens nothing; what was wrong is not said."},
    429: {"description": "This was tried too often."},
}

TypedCode = Annotated[str, Text(1, TYPED_CHARS_MAX)]
Password = Annotated[str, Text(1, PASSWORD_CHARS_MAX)]


class FactorsIn(Body):
    """What is shown: ``password`` with ``code`` or ``recoveryCode``, or ``challengeId`` with ``credential``."""

    method: Literal["password", "passkey"]
    password: Password | None = None
    code: Annotated[str, Field(pattern=r"^[0-9]{6}$")] | None = None
    recovery_code: TypedCode | None = None
    challenge_id: UUID | None = None
    credential: PasskeyIn | None = None

    @model_validator(mode="after")
    def _of_one_method(self) -> Self:
        typed = (self.password, self.code, self.recovery_code)
        browsed = (self.challenge_id, self.credential)
        if self.method == "password":
            fits = self.password is not None and browsed == (None, None) and None in {self.code, self.recovery_code}
        else:
            fits = typed == (None, None, None) and None not in browsed
        if not fits:
            raise unfit("method-mismatch", "Give what the method takes, and nothing of the other.")
        return self

    def shown(self) -> PasswordShown | PasskeyShown:
        """Return what is shown."""
        if self.challenge_id is not None and self.credential is not None:
            return PasskeyShown(self.challenge_id, self.credential.plain())
        assert self.password is not None
        return PasswordShown(self.password, self.code, self.recovery_code)


class LogInIn(FactorsIn):
    """Who, and how the session is to be carried on. ``deviceToken`` is what the last log-in gave this device."""

    login_name: Annotated[str, Text(1, LOGIN_NAME_CHARS_MAX)] | None = None
    device_token: Annotated[str, Text(1, DEVICE_CHARS_MAX)] | None = None
    delivery: Delivery = Delivery.TOKENS
    workplace_key: Annotated[str, Text(1, WORKPLACE_KEY_CHARS_MAX)] | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.method == "password") != (self.login_name is not None):
            raise unfit("method-mismatch", "A password goes with a log-in name; a passkey needs none.")
        return self


class LoggedInOut(SignedInOut):
    """Who one is. ``deviceToken`` lets this device try on when others tried too often under the same name."""

    device_token: str | None = None


class EnrolmentIn(Body):
    """A one-time code; a citizen's opens with the birth date alone."""

    code: TypedCode
    birth_date: Day | None = None
    delivery: Delivery = Delivery.TOKENS


class ReauthenticatedOut(Out):
    """The session as it is now. A program gets a fresh access token; a browser goes on with its cookie."""

    acr: Acr
    authenticated_at: At
    access_token: str | None = None
    expires_in: int | None = None


@router.post("/passkey-challenges", status_code=201, openapi_extra=OPEN, responses={429: REFUSED[429]})
@operation(Scope.PUBLIC, Action.LOGIN_ENTER, ActionCode.EXECUTE, Content.NONE)
async def begin_passkey_log_in(ctx: PublicContext) -> PasskeyChallengeOut:
    """Give a challenge to show a passkey against, for a log-in or a reauthentication. Good once, for 5 minutes."""
    made = await login.challenge(ctx.services.means, ctx.origin)
    return PasskeyChallengeOut(challenge_id=made.id, public_key=made.options)


@router.post("/log-ins", status_code=201, openapi_extra=OPEN, responses=REFUSED)
@operation(Scope.PUBLIC, Action.LOGIN_ENTER, ActionCode.EXECUTE, Content.NONE)
async def log_in(ctx: PublicContext, body: LogInIn) -> LoggedInOut:
    """Log in, in one request: every refusal is the same, whoever it was and whatever was wrong."""
    means, shown = ctx.services.means, body.shown()
    wanted = Wanted(body.delivery, body.workplace_key)
    device = None
    if isinstance(shown, PasskeyShown):
        signed_in = await login.with_passkey(means, shown, wanted, ctx.origin)
    else:
        named = NamedDevice(body.login_name or "", body.device_token)
        signed_in, device = await login.with_password(means, named, shown, wanted, ctx.origin)
    out = await signed_in_out(ctx, signed_in)
    members = {name: getattr(out, name) for name in out.model_fields_set}
    return LoggedInOut(**members, **({} if device is None else {"device_token": device}))


@router.post("/enrolments", status_code=201, openapi_extra=OPEN, responses=REFUSED)
@operation(Scope.PUBLIC, Action.ENROLMENT_USE, ActionCode.EXECUTE, Content.NONE)
async def enrol(ctx: PublicContext, body: EnrolmentIn) -> SignedInOut:
    """Use a one-time code: for an hour one may set up factors, and nothing else. A citizen also sits down."""
    signed_in, moved = await activation.enrol(
        ctx.services.means, body.code, body.birth_date, body.delivery, ctx.origin
    )
    await ctx.services.after_commit(moved, [])
    return await signed_in_out(ctx, signed_in)


@router.post("/reauthentications", status_code=201, responses={429: REFUSED[429]})
@operation(Scope.SELF, Action.SESSION_REAUTHENTICATE, ActionCode.EXECUTE, Content.NONE)
async def reauthenticate(ctx: SelfContext, body: FactorsIn) -> ReauthenticatedOut:
    """Show a factor again: the session is fresh, and a locked screen opens.

    Two factors are needed, as for a log-in; on a registered workplace the password alone within 12 hours of two.
    """
    entered = await reauthentication.reauthenticate(ctx.db, ctx.permit, ctx.services.means, body.shown())
    ctx.touch(Touch("session", ctx.actor.login_session_id))
    shown = {"acr": entered.actor.acr, "authenticated_at": entered.actor.authenticated_at}
    if ctx.browser is not None:  # a page never holds a token
        return ReauthenticatedOut(**shown)
    token = access_token(ctx.services.issuer, entered)
    return ReauthenticatedOut(**shown, access_token=token, expires_in=TOKEN_SECONDS)
