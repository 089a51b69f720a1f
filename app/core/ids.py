"""Identifiers: random UUIDs, one type per thing, so that a case id never passes for a patient id."""

from functools import lru_cache
from typing import NewType
from uuid import UUID, uuid4

AccountId = NewType("AccountId", UUID)
AuditId = NewType("AuditId", UUID)
CaseId = NewType("CaseId", UUID)
ConsentId = NewType("ConsentId", UUID)
EngagementId = NewType("EngagementId", UUID)
EventId = NewType("EventId", UUID)
LoginSessionId = NewType("LoginSessionId", UUID)
MemberId = NewType("MemberId", UUID)
MessageId = NewType("MessageId", UUID)
OrganisationId = NewType("OrganisationId", UUID)
PatientId = NewType("PatientId", UUID)
ReplacementId = NewType("ReplacementId", UUID)
TeamId = NewType("TeamId", UUID)
ThreadId = NewType("ThreadId", UUID)


def new_id() -> UUID:
    """Return a fresh random id (UUID version 4); it tells nothing about when or in what order it was made."""
    return uuid4()


@lru_cache(maxsize=65_536)
def parse_id(text: str) -> UUID | None:
    """Return the UUID that ``text`` spells in canonical lower case, or None.

    One spelling only: an id that can be written in several ways slips past caches and comparisons.
    """
    if len(text) != 36:
        return None
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None
