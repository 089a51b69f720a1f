"""How a login session begins: whose, how it was authenticated, for how long. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.access.vocabulary import Acr, ClientScope
from app.core.ids import AccountId, EngagementId

SESSION_SECONDS = 12 * 3600
ENROLMENT_SECONDS = 3600
IDLE_SECONDS = 30 * 60
"""How long a browser may go unused before its session ends."""
SCREEN_LOCK_SECONDS = 10 * 60
"""How long a registered workplace may go unused before its screen locks."""


class Method(StrEnum):
    """By what somebody signed in."""

    DEMO = "demo"
    PASSWORD = "password"  # noqa: S105  # a method's name, not a secret
    PASSKEY = "passkey"
    OIDC = "oidc"
    ENROLMENT = "enrolment"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class SessionStart:
    """A session to begin. ``seconds`` bounds its life; ``idle_seconds``, if any, the time it goes unused."""

    account_id: AccountId
    engagement_id: EngagementId
    method: Method
    acr: Acr
    scopes: frozenset[ClientScope] = frozenset()
    seconds: int = SESSION_SECONDS
    idle_seconds: int | None = None
    workplace_id: UUID | None = None
