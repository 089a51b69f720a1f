"""What every operation may need: the parts of the running service, and the context of one request."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.actor import Actor
from app.access.policy import CasePermit, Permit, RolePermit, SelfPermit
from app.access.vocabulary import Action
from app.api.cookies import Browser
from app.api.rates import Rates
from app.audit.records import Origin, Touch
from app.core.clock import Clock
from app.core.db import Database
from app.core.errors import PreconditionFailed, PreconditionRequired
from app.core.ids import CaseId
from app.core.settings import Settings
from app.crypto.service import Crypto
from app.entitlement.refusals import Refusals
from app.events.appender import Appender
from app.identity.actors import Actors
from app.identity.directory import Directory
from app.identity.factors.means import Means
from app.identity.oauth import Server
from app.identity.oidc.client import Providers
from app.identity.tokens import TokenIssuer, TokenVerifier


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that ``main`` wires together; ``after_commit`` tells sockets what moved and what ended."""

    settings: Settings
    revision: str
    database: Database
    clock: Clock
    crypto: Crypto
    directory: Directory
    means: Means
    issuer: TokenIssuer
    verifier: TokenVerifier
    actors: Actors
    refusals: Refusals
    appender: Appender
    oauth: Server
    rates: Rates
    after_commit: Callable[[Iterable[CaseId], Iterable[UUID]], Awaitable[None]]
    providers: Providers


P = TypeVar("P", bound=Permit)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an export; ``name`` is the file's, ``after`` where the next page begins, None after the last."""

    content: bytes
    media: str
    name: str
    after: Any


@dataclass(slots=True)
class Context(Generic[P]):
    """One request inside its transaction: who, when, with which permit, and what it touched so far.

    ``resource_id`` is the id for what a creating operation makes. ``touched`` becomes audit records in the same
    commit; when it stays empty the record names the permitted case or the actor's own list. ``if_match`` is what an
    update says it is based on; ``headers`` and ``cookies`` (``Set-Cookie`` values) go out with the answer.
    ``browser`` is the one that asks, if it does so by its cookie. ``prepared`` is what the operation's ``prepare``
    fetched before the transaction. An export is asked for one page at a time, from ``position`` on, and leaves it in
    ``page``.
    """

    services: Services
    db: AsyncSession
    actor: Actor
    now: datetime
    permit: P
    action: Action
    origin: Origin
    resource_id: UUID
    touched: list[Touch] = field(default_factory=list)
    moved: set[CaseId] = field(default_factory=set)
    ended_sessions: set[UUID] = field(default_factory=set)
    status: int | None = None
    if_match: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    browser: Browser | None = None
    prepared: object = None
    position: Any = None
    page: Page | None = None

    @property
    def crypto(self) -> Crypto:
        """The crypto parts."""
        return self.services.crypto

    def etag(self, *parts: bytes) -> str:
        """Return a strong ETag of what is shown, and give it to the answer; keyed, so that it tells nothing."""
        tag = f'"{self.crypto.digests.digest("etag", *parts).hex()[:32]}"'
        self.headers["ETag"] = tag
        return tag

    def require_match(self, *parts: bytes) -> None:
        """Let an update through that is based on what there is now; ``parts`` as for :meth:`etag`.

        Raises:
            PreconditionRequired: it does not say what it is based on.
            PreconditionFailed: it is based on something else.
        """
        if self.if_match is None:
            raise PreconditionRequired
        if not compare_digest(self.if_match.encode(), self.etag(*parts).encode()):
            raise PreconditionFailed

    def touch(self, *touches: Touch) -> None:
        """Say what this request read or changed, for the log."""
        self.touched.extend(touches)


@dataclass(slots=True)
class AppendContext:
    """A post on its way to the appender, without a transaction; ``replayed`` is set when an earlier post stands."""

    services: Services
    actor: Actor
    origin: Origin
    key: bytes | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class PublicContext:
    """A request by nobody in particular: no actor, no transaction, no protected content.

    ``cookies`` are the ``Set-Cookie`` values that go out with the answer; ``sent`` are the request's own headers.
    """

    services: Services
    origin: Origin
    cookies: list[str] = field(default_factory=list)
    sent: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)


CaseContext = Context[CasePermit]
SelfContext = Context[SelfPermit]
RoleContext = Context[RolePermit]


def case_touch(permit: CasePermit, entity_type: str, entity_id: UUID | None, **labels: object) -> Touch:
    """Return a touch of something in the permitted case, on the ground the permit rests on."""
    holding = permit.holding
    fixed: dict[str, object] = {
        "case_id": permit.case_id,
        "ground": holding.ground if holding else None,
        "consent_id": holding.consent_id if holding else None,
        "on_behalf_of": holding.on_behalf_of if holding else None,
        "access_version": permit.standing.version,
    }
    return Touch(entity_type, entity_id, **{**fixed, **labels})  # type: ignore[arg-type]  # Touch's own fields
