"""What makes a consent valid to record; no I/O, no clock. Source: DOMAIN R-2, R-3, R-6; GDPR art. 4(11) and 7."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from app.access.vocabulary import Category, ConsentKind, Domain, Purpose, Role
from app.consent.carers import Level, level_faults
from app.consent.deciders import Capacity, Departure
from app.core.errors import Fault


class RecipientType(StrEnum):
    """What a recipient is."""

    MEMBER = "member"
    ORGANISATION = "organisation"
    TEAM = "team"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class NamedRecipient:
    """To whom: an id, or for ``role`` a role class within the case."""

    type: RecipientType
    id: UUID | None = None
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Departing:
    """That the table of deciders is departed from, and why, in words that are sealed."""

    code: Departure
    reason: str


class Succession(StrEnum):
    """How a consent stands to the one that it refers to; a transfer asks it anew for another practice."""

    RENEWAL = "renewal"
    NARROWING = "narrowing"
    ADDITION = "addition"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where terms come from: the use of a bundle, or an earlier consent that they renew, narrow or add to.

    ``review_months`` is after how many months the citizen is reminded, again and again, that the consent stands.
    """

    bundle: str | None = None
    bundle_version: str | None = None
    bundle_use_id: UUID | None = None
    refers_to_id: UUID | None = None
    refers_as: Succession | None = None
    review_months: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the citizen is asked to agree to. ``[valid_from, valid_until)`` is half-open, aware."""

    patient_id: UUID
    kind: ConsentKind
    from_domains: tuple[Domain, ...]
    both_ways: bool
    history: str
    recipients: tuple[NamedRecipient, ...]
    categories: tuple[Category, ...]
    purpose: Purpose
    capacity: Capacity
    departure: Departing | None
    valid_from: datetime
    valid_until: datetime | None
    origin: Origin = Origin()
    carer_level: Level | None = None


LATE_AFTER = timedelta(days=7)
"""A decision that is recorded longer after it was made is marked late. Source: DOMAIN R-3."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One person's yes or no: when, how, on which text, in which language; with a coded interpreter, if any.

    ``representation_id`` says on which recorded representation it rests; None for the patient.
    """

    decider: str
    yes: bool
    decided_at: datetime
    method: str
    text_version: str
    language: str
    interpreter: str | None = None
    representation_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Chair:
    """A seated member as far as recipients go."""

    member_id: UUID
    engagement_id: UUID
    organisation_id: UUID | None
    role: Role
    team_ids: frozenset[UUID]


def reaches(recipient: NamedRecipient, chair: Chair) -> bool:
    """Whether a recipient, as named, is or contains this member."""
    match recipient.type:
        case RecipientType.MEMBER:
            return recipient.id == chair.member_id
        case RecipientType.ORGANISATION:
            return recipient.id is not None and recipient.id == chair.organisation_id
        case RecipientType.TEAM:
            return recipient.id in chair.team_ids
        case RecipientType.ROLE:
            return recipient.role is chair.role


def faults(terms: Terms, chairs: Sequence[Chair], *, now: datetime) -> Iterator[Fault]:
    """Yield everything that is wrong with the terms, in the order of the fields."""
    for index, recipient in enumerate(terms.recipients):
        if not any(reaches(recipient, chair) for chair in chairs):
            yield Fault(f"/recipients/{index}", "not-a-member", "The recipient is not at this table.")
        elif terms.carer_level is not None and not _is_carer(recipient, chairs):
            yield Fault(f"/recipients/{index}", "not-a-carer", "A level is for one informal carer, by member.")
    if len(set(terms.categories)) != len(terms.categories):
        yield Fault("/categories", "repeated", "A category is named twice.")
    if len(set(terms.from_domains)) != len(terms.from_domains):
        yield Fault("/from", "repeated", "A domain is named twice.")
    if terms.carer_level is not None:
        yield from level_faults(terms.carer_level, terms.categories)
    if Category.SAFETY_MELDCODE in terms.categories:
        yield Fault("/categories", "not-shareable", "safety_meldcode is disclosed by record only, never by consent.")
    if terms.valid_until is not None and terms.valid_until <= max(terms.valid_from, now):
        yield Fault("/validUntil", "past", "The end must lie after the start and in the future.")


def _is_carer(recipient: NamedRecipient, chairs: Sequence[Chair]) -> bool:
    named = [chair for chair in chairs if reaches(recipient, chair)]
    return recipient.type is RecipientType.MEMBER and all(chair.role is Role.INFORMAL_CARER for chair in named)


def decision_faults(decision: Decision, *, texts: Mapping[str, str], now: datetime) -> Iterator[Fault]:
    """Yield everything that is wrong with a decision, whoever made it; ``texts`` is version to language.

    A text is decided on in its own language; another one is that of the interpreter who put it into words.
    """
    language = texts.get(decision.text_version)
    if language is None:
        yield Fault("/textVersion", "unknown", "There is no such consent text.")
    elif decision.language != language and decision.interpreter is None:
        yield Fault("/language", "not-of-the-text", "The text is in another language, and nobody interpreted.")
    if decision.decided_at > now:
        yield Fault("/decidedAt", "in-future", "A decision cannot lie in the future.")
