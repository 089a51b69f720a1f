"""Events of the case stream before they have their position. Pure values."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.access.policy import Cell
from app.access.vocabulary import Category, Domain
from app.core.ids import EngagementId, EventId, PatientId, ThreadId, new_id


class EventType(StrEnum):
    """What can happen in a case. A viewer hears an event that is in a cell of theirs, or addressed to them."""

    CASE_OPENED = "case.opened"
    THREAD_OPENED = "thread.opened"
    THREAD_RELEASED = "thread.released"
    MESSAGE_POSTED = "message.posted"
    MESSAGE_CORRECTED = "message.corrected"
    MESSAGE_RETRACTED = "message.retracted"
    MEMBER_INVITED = "member.invited"
    MEMBER_ACCEPTED = "member.accepted"
    MEMBER_LEFT = "member.left"
    CONSENT_GIVEN = "consent.given"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    CONSENT_EXPIRED = "consent.expired"
    STATEMENT_ADDED = "statement.added"
    ACCESS_CHANGED = "access.changed"


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may hear an event: holders of a cell (of one subject, or of any), or named engagements."""

    category: Category | None = None
    domain: Domain | None = None
    patient_id: PatientId | None = None
    addressees: tuple[EngagementId, ...] | None = None


def holders_of(cell: Cell) -> Audience:
    """Return the audience of whoever reads the cell."""
    return Audience(category=cell.category, domain=cell.domain, patient_id=cell.patient_id)


def contacts(domain: Domain) -> Audience:
    """Return the audience of whoever may see who is at the table; they hold that in every domain."""
    return Audience(category=Category.CONTACT_NETWORK, domain=domain)


def only(*engagements: EngagementId) -> Audience:
    """Return the audience of these engagements alone."""
    return Audience(addressees=tuple(dict.fromkeys(engagements)))


@dataclass(frozen=True, slots=True)
class Draft:
    """One event to append. ``data`` holds ids and codes; ``body`` is sealed for its place already."""

    type: EventType
    audience: Audience
    id: EventId = field(default_factory=lambda: EventId(new_id()))
    thread_id: ThreadId | None = None
    patient_id: PatientId | None = None
    refers_to: UUID | None = None
    data: dict[str, Any] | None = None
    body: bytes | None = None
