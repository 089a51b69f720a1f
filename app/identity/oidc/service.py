"""Log-in and linking with a provider elsewhere: begun in a browser, proven by the provider, ended here.

Of a log-in under way nothing is kept that anybody could go on with: ``state`` and the browser's own secret together
find it, and nonce and code verifier are made from the two when they are needed.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.actor import Actor
from app.access.vocabulary import Acr
from app.core.ids import AccountId, EngagementId, LoginSessionId
from app.core.providers import OidcProvider
from app.crypto.digests import Digests, random_token
from app.identity import signing_in
from app.identity.oidc import store
from app.identity.oidc.client import Providers, Request
from app.identity.oidc.derived import completion_digest, derived, session_digest, state_digest, subject_digest
from app.identity.oidc.id_tokens import (
    Asked,
    KeyNotKnown,
    verify_id_token,
)
from app.identity.oidc.refusals import (
    IdentityNotLinked,
    LogInNotKnown,
    LogInRefused,
    NotForThisRole,
    ProviderAnswerInvalid,
    SecondFactorNeeded,
)
from app.identity.oidc.rules import Proof, roles_for
from app.identity.sessions import Method
from app.identity.signing_in import Delivery, SignedIn
from app.identity.tokens import TokenIssuer

LOG_IN_SECONDS = 600
COMPLETION_SECONDS = 60


class Purpose(StrEnum):
    """What somebody goes to a provider for."""

    LOG_IN = "log-in"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Asking:
    """A log-in about to begin. ``state`` goes to the provider, ``browser_secret`` stays with the browser alone."""

    provider: OidcProvider
    fresh: bool
    state: str = field(repr=False)
    browser_secret: str = field(repr=False)
    request: Request = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A log-in that came back. ``session_id`` and ``engagement_id`` are of whoever links."""

    provider: OidcProvider
    purpose: Purpose
    delivery: Delivery
    return_to: str
    fresh: bool
    session_id: LoginSessionId | None
    engagement_id: EngagementId | None
    started_at: datetime
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider sent the browser back with; ``issuer`` is its name for itself (RFC 9207)."""

    code: str | None
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody whom a provider proved, and who is known here by that. ``provider_session`` is a digest."""

    identity_id: UUID
    account_id: AccountId
    provider: OidcProvider
    authenticated_at: datetime
    provider_session: bytes | None


def ask(digests: Digests, provider: OidcProvider, *, fresh: bool) -> Asking:
    """Return a log-in to begin; ``fresh`` means that the person shows the factors anew."""
    state, secret = random_token(), random_token()
    request = Request(
        state=state,
        nonce=derived(digests, "oidc-nonce", state, secret),
        verifier=derived(digests, "oidc-verifier", state, secret),
        fresh=fresh,
    )
    return Asking(provider, fresh, state, secret, request)


async def authorization_url(providers: Providers, asking: Asking, *, now: int) -> str:
    """Return where to send the browser. Speaks to the provider.

    Raises:
        ProviderUnavailable: it does not answer.
    """
    return await providers.authorization_url(asking.provider, asking.request, now=now)


async def begin(
    db: AsyncSession,
    digests: Digests,
    asking: Asking,
    *,
    delivery: Delivery,
    return_to: str,
    linking: Actor | None,
    now: datetime | None,
) -> None:
    """Keep a log-in that begins, or with ``linking`` the linking of an identity to whoever asks."""
    await store.begin(
        db,
        digest=state_digest(digests, asking.state, asking.browser_secret),
        provider=asking.provider.key,
        purpose=Purpose.LINK if linking else Purpose.LOG_IN,
        delivery=delivery,
        return_to=return_to,
        fresh=asking.fresh,
        session_id=linking.login_session_id if linking else None,
        engagement_id=linking.engagement_id if linking else None,
        now=now,
        seconds=LOG_IN_SECONDS,
    )


async def take(
    db: AsyncSession,
    providers: Providers,
    digests: Digests,
    *,
    state: str,
    browser_secret: str,
    now: datetime | None,
) -> UnderWay:
    """Take out the log-in that a browser comes back from: once, and whatever becomes of it. Commit it at once.

    Raises:
        LogInNotKnown: there is none, or it is not this browser's.
    """
    row = await store.take(db, state_digest(digests, state, browser_secret), now)
    provider = None if row is None else providers.named(row["provider"])
    if row is None or provider is None:
        raise LogInNotKnown
    return UnderWay(
        provider=provider,
        purpose=Purpose(row["purpose"]),
        delivery=Delivery(row["delivery"]),
        return_to=row["return_to"],
        fresh=row["fresh"],
        session_id=row["login_session_id"],
        engagement_id=row["engagement_id"],
        started_at=row["started_at"],
        nonce=derived(digests, "oidc-nonce", state, browser_secret),
        verifier=derived(digests, "oidc-verifier", state, browser_secret),
    )


async def prove(providers: Providers, under_way: UnderWay, answer: Answer, *, now: int) -> Proof:
    """Return who logged in, in two factors, as the provider proves it. Speaks to the provider; no transaction.

    Raises:
        LogInRefused: it did not let anybody in.
        ProviderAnswerInvalid: the answer proves nothing, or is another provider's.
        SecondFactorNeeded: it proves too little.
        ProviderUnavailable: the provider does not answer.
    """
    provider = under_way.provider
    metadata = await providers.metadata(provider)
    if answer.issuer is None and metadata.names_itself:
        raise ProviderAnswerInvalid("iss-parameter")
    if answer.issuer is not None and not compare_digest(answer.issuer.encode(), provider.issuer.encode()):
        raise ProviderAnswerInvalid("iss-parameter")
    if answer.code is None:
        raise LogInRefused
    tokens = await providers.redeem(provider, answer.code, under_way.verifier, now=now)
    asked = Asked(
        nonce=under_way.nonce,
        max_age=provider.max_age_seconds,
        not_before=int(under_way.started_at.timestamp()) if under_way.fresh else 0,
        access_token=tokens.access_token,
    )
    try:
        proof = verify_id_token(tokens.id_token, provider, await providers.keys(provider), asked, now=now)
    except KeyNotKnown:
        keys = await providers.keys(provider, again=True)
        proof = verify_id_token(tokens.id_token, provider, keys, asked, now=now)
    if not proof.two_factors:
        raise SecondFactorNeeded
    return proof


async def recognise(db: AsyncSession, digests: Digests, provider: OidcProvider, proof: Proof) -> Known:
    """Return whom a proven identity is linked to. Makes nobody.

    Raises:
        IdentityNotLinked: nobody.
    """
    row = await store.find(db, proof.issuer, subject_digest(digests, proof.issuer, proof.subject))
    if row is None:
        raise IdentityNotLinked
    theirs = session_digest(digests, proof.issuer, proof.provider_session)
    return Known(row["id"], row["account_id"], provider, proof.authenticated_at, theirs)


async def sign_in(
    db: AsyncSession, digests: Digests, issuer: TokenIssuer, known: Known, *, delivery: Delivery, now: datetime | None
) -> SignedIn:
    """Begin a session for somebody whom a provider proved, in the engagements that the provider is for and no other.

    Raises:
        NotForThisRole: there is none in force.
    """
    roles = roles_for(known.provider.audience)
    engagement = await store.engagement_for(db, known.account_id, roles, now)
    if engagement is None:
        raise NotForThisRole
    signed_in = await signing_in.sign_in(
        db,
        account_id=known.account_id,
        engagement_id=EngagementId(engagement),
        method=Method.OIDC,
        acr=Acr.TWO_FACTOR,
        issuer=issuer,
        digests=digests,
        now=now,
        delivery=delivery,
        authenticated_at=known.authenticated_at,
    )
    await store.note_session(
        db,
        session_id=signed_in.session_id,
        identity_id=known.identity_id,
        issuer=known.provider.issuer,
        provider_session=known.provider_session,
        roles=roles,
    )
    return signed_in


async def hold(db: AsyncSession, digests: Digests, known: Known, *, browser_secret: str, now: datetime | None) -> str:
    """Return a code that the program which asked fetches its tokens with: once, within a minute, and it alone."""
    code = random_token()
    await store.keep_completion(
        db,
        digest=completion_digest(digests, code, browser_secret),
        identity_id=known.identity_id,
        provider=known.provider.key,
        at=known.authenticated_at,
        provider_session=known.provider_session,
        now=now,
        seconds=COMPLETION_SECONDS,
    )
    return code


async def fetch(
    db: AsyncSession,
    providers: Providers,
    digests: Digests,
    *,
    code: str,
    browser_secret: str,
    now: datetime | None,
) -> Known:
    """Take out what :func:`hold` keeps.

    Raises:
        LogInNotKnown: there is none, or it is not for whoever asks.
    """
    row = await store.take_completion(db, completion_digest(digests, code, browser_secret), now)
    provider = None if row is None else providers.named(row["provider"])
    if row is None or provider is None:
        raise LogInNotKnown
    return Known(
        row["external_identity_id"],
        row["account_id"],
        provider,
        row["authenticated_at"],
        row["provider_session_digest"],
    )
