"""What a client gets at the authorization server: proof of who it is, tokens, their end, and word of them.

An assertion is used up in a transaction of its own: whatever comes after it, it never serves again, on any worker.
Source: RFC 6749, 7009, 7521, 7523, 7662, 9068, 9449; SMART Backend Services.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.access.vocabulary import Acr, Action, ClientScope, Role
from app.audit import service as audit
from app.audit.records import ActionCode, Origin, Outcome, Record, Touch, Who
from app.core.clock import Clock
from app.core.db import Database
from app.core.errors import Invalid, Unauthenticated
from app.core.ids import AccountId, EngagementId, LoginSessionId, OrganisationId, new_id
from app.crypto.digests import Digests
from app.identity import client_store, store
from app.identity.assertions import (
    SKEW_SECONDS,
    Assertion,
    KeyUnknown,
    Proof,
    StatementRefused,
    check_assertion,
    check_proof,
    claimed_client,
)
from app.identity.fetching import FetchRefused, KeySets
from app.identity.tokens import Claims, TokenInvalid, TokenIssuer, TokenVerifier


class ClientRefused(Unauthenticated):
    """Raised when a client did not prove who it is: one refusal for every reason, and for a client there is not."""

    code = "client-not-authenticated"
    title = "The client could not be authenticated"


class ScopeRefused(Invalid):
    """Raised for a scope that the client is not registered for."""

    code = "scope-not-registered"
    title = "The client is not registered for this scope"


class ProofRefused(Invalid):
    """Raised when possession of a key is to be proved and is not: RFC 9449."""

    code = "proof-of-possession-invalid"
    title = "The DPoP proof is missing or not valid"


@dataclass(frozen=True, slots=True)
class Server:
    """The parts that the authorization server is made of; ``base_url`` is the issuer."""

    database: Database
    clock: Clock
    issuer: TokenIssuer
    verifier: TokenVerifier
    digests: Digests
    key_sets: KeySets
    base_url: str
    source: str

    @property
    def token_url(self) -> str:
        """Return the address of the token endpoint."""
        return f"{self.base_url}/oauth/token"

    def now(self) -> datetime:
        """Return the instant that statements are judged at."""
        return self.clock() or datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Client:
    """A client that proved who it is, and its terms."""

    id: AccountId
    engagement_id: EngagementId
    organisation_id: OrganisationId
    scopes: frozenset[ClientScope]
    rate: int
    dpop_required: bool

    def who(self, session_id: LoginSessionId | None = None) -> Who:
        """Return the client as a record names it."""
        return Who(
            account_id=self.id,
            engagement_id=self.engagement_id,
            role=Role.INTEGRATION,
            organisation_id=self.organisation_id,
            login_session_id=session_id,
        )


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, for so many seconds, with this scope; ``bound`` to a key, or for whoever bears it."""

    token: str
    seconds: int
    scope: str
    bound: bool


async def authenticate(server: Server, assertion: str, client_id: str | None) -> Client:
    """Return the client that an assertion is from; it serves once.

    Raises:
        ClientRefused: for whatever reason.
    """
    claimed = claimed_client(assertion)
    if claimed is None or client_id not in (None, str(claimed)):
        raise ClientRefused
    now = server.now()
    async with server.database.session() as db, db.begin():
        row = await client_store.terms(db, claimed, now)
    if row is None:
        raise ClientRefused
    said = await _checked(server, assertion, claimed, row["jwks"], row["jwks_url"], int(now.timestamp()))
    digest = server.digests.digest("client-assertion", claimed.bytes, said.jti.encode())
    if not await _first(server, digest, said.until, now):
        raise ClientRefused
    return Client(
        id=AccountId(claimed),
        engagement_id=row["engagement_id"],
        organisation_id=row["organisation_id"],
        scopes=frozenset(ClientScope(scope) for scope in row["scopes"]),
        rate=row["rate"],
        dpop_required=row["dpop_required"],
    )


async def _checked(
    server: Server, assertion: str, client_id: UUID, jwks: list[dict[str, str]] | None, jwks_url: str | None, now: int
) -> Assertion:
    audiences = {server.base_url, server.token_url}
    try:
        keys = jwks if jwks_url is None else await server.key_sets.read(jwks_url)
        try:
            return check_assertion(assertion, keys or [], client_id, audiences, now=now)
        except KeyUnknown:
            if jwks_url is None:
                raise
            keys = await server.key_sets.read(jwks_url, afresh=True)
            return check_assertion(assertion, keys, client_id, audiences, now=now)
    except (StatementRefused, FetchRefused):
        raise ClientRefused from None


async def _first(server: Server, digest: bytes, until: int, now: datetime) -> bool:
    """Whether something is shown for the first time; that it was is committed whatever happens next."""
    expires_at = datetime.fromtimestamp(until, UTC) + timedelta(seconds=SKEW_SECONDS)
    async with server.database.session() as db, db.begin():
        return await client_store.show_once(db, digest, expires_at=expires_at, now=now)


async def prove(server: Server, proof: str, *, method: str, url: str, token: str | None = None) -> Proof:
    """Return whose key a DPoP proof shows possession of; it serves once.

    Raises:
        ProofRefused: it shows nothing.
    """
    now = server.now()
    try:
        shown = check_proof(proof, method=method, url=url, now=int(now.timestamp()), token=token)
    except StatementRefused:
        raise ProofRefused from None
    digest = server.digests.digest("dpop-proof", shown.jkt.encode(), shown.jti.encode())
    if not await _first(server, digest, shown.until, now):
        raise ProofRefused
    return shown


async def issue(server: Server, client: Client, scope: str | None, jkt: str | None, origin: Origin) -> Issued:
    """Start a session of a client and return its token; without a scope it has all that the client is registered for.

    Raises:
        ScopeRefused: a scope beyond the registered ones.
        ProofRefused: the client must bind its tokens and showed no key.
        ClientRefused: it was suspended or changed meanwhile.
    """
    if client.dpop_required and jkt is None:
        raise ProofRefused
    scopes = _scopes(client, scope)
    session_id = LoginSessionId(new_id())
    async with server.database.session() as db, db.begin():
        started = await client_store.start_session(db, session_id, client.id, scopes, server.clock())
        if started is None:
            raise ClientRefused
        at, seconds = started
        touch = Touch("session", session_id)
        record = Record(
            Action.TOKEN_ISSUE, ActionCode.EXECUTE, Outcome.SUCCESS, client.who(session_id), touch, origin
        )
        await audit.record(db, [record], at=at, source=server.source)
    now = int(at.timestamp())
    token = server.issuer.issue(
        sub=client.id,
        org=client.organisation_id,
        role=Role.INTEGRATION,
        spec=None,
        resp=None,
        eng=client.engagement_id,
        scope=" ".join(scopes),
        sid=session_id,
        acr=Acr.CLIENT_KEY,
        auth_time=now,
        now=now,
        seconds=seconds,
        cnf=jkt,
    )
    return Issued(token, seconds, " ".join(scopes), jkt is not None)


def _scopes(client: Client, scope: str | None) -> Sequence[ClientScope]:
    if scope is None:
        return sorted(client.scopes)
    asked = scope.split(" ")
    if not set(asked) <= {*client.scopes}:
        raise ScopeRefused
    return sorted({ClientScope(one) for one in asked})


async def introspect(server: Server, client: Client, token: str, origin: Origin) -> Claims | None:
    """Return what a live token of the client's own organisation says; None for any other text whatever."""
    now = server.now()
    claims = _read(server, token, now)
    if claims is None or claims.org != client.organisation_id:
        found = None
    else:
        alive = await client_store.is_alive(server.database.stream, claims.sid, claims.eng, now)
        found = claims if alive else None
    touch = Touch("session", found.sid if found else None)
    record = Record(Action.TOKEN_INTROSPECT, ActionCode.READ, Outcome.SUCCESS, client.who(), touch, origin)
    async with server.database.session() as db, db.begin():
        await audit.record(db, [record], at=now, source=server.source)
    return found


async def revoke(server: Server, client: Client, token: str, origin: Origin) -> Sequence[UUID]:
    """End the session of a token that is the client's own, and return it; any other is left alone, without a word."""
    now = server.now()
    claims = _read(server, token, now)
    mine = claims is not None and claims.sub == client.id
    async with server.database.session() as db, db.begin():
        ended: Sequence[UUID] = ()
        if claims is not None and mine:
            ended = await store.end_sessions(db, client.id, [claims.sid], "revoked", server.clock())
        touch = Touch("session", claims.sid if claims and mine else None)
        record = Record(Action.TOKEN_REVOKE, ActionCode.DELETE, Outcome.SUCCESS, client.who(), touch, origin)
        await audit.record(db, [record], at=now, source=server.source)
    return ended


def _read(server: Server, token: str, now: datetime) -> Claims | None:
    try:
        return server.verifier.verify(token, now=int(now.timestamp()))
    except TokenInvalid:
        return None
