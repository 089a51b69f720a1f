"""One record of one access or change, before it is written. Pure values: ids and codes, never content."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.access.actor import Actor
from app.access.tables import POLICY_VERSION
from app.access.vocabulary import Category, Domain, Ground, Role
from app.core.ids import AccountId, CaseId, ConsentId, EngagementId, LoginSessionId, OrganisationId, PatientId


class Outcome(StrEnum):
    """How it ended: done, refused for want of a right, or failed for another reason."""

    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"


class ActionCode(StrEnum):
    """Create, read, update, delete, execute (DICOM via NEN 7513)."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: ``http``, ``socket`` or ``system``, the peer's address, and the request's own id."""

    channel: str
    access_point: str | None
    trace_id: UUID | None


@dataclass(frozen=True, slots=True)
class Who:
    """The actor of a record, known in full or only as far as a refused token says."""

    account_id: AccountId | None = None
    engagement_id: EngagementId | None = None
    role: Role | None = None
    organisation_id: OrganisationId | None = None
    on_behalf_of: AccountId | None = None
    purpose: str | None = None
    login_session_id: LoginSessionId | None = None


def who(actor: Actor) -> Who:
    """Return the actor as a record names it."""
    return Who(
        account_id=actor.account_id,
        engagement_id=actor.engagement_id,
        role=actor.role,
        organisation_id=actor.organisation_id,
        on_behalf_of=actor.responsible_account_id,
        purpose=actor.purpose,
        login_session_id=actor.login_session_id,
    )


@dataclass(frozen=True, slots=True)
class Touch:
    """What was touched: an entity, whose it is, how it is labelled, on which ground that was open and for whom."""

    entity_type: str
    entity_id: UUID | None = None
    case_id: CaseId | None = None
    patient_id: PatientId | None = None
    category: Category | None = None
    domain: Domain | None = None
    ground: Ground | None = None
    consent_id: ConsentId | None = None
    access_version: int | None = None
    on_behalf_of: AccountId | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log."""

    action: str
    action_code: ActionCode
    outcome: Outcome
    who: Who
    touch: Touch
    origin: Origin
    reason: str | None = None
    policy_version: str = POLICY_VERSION
