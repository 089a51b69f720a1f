"""What notices are about, and to whom they go. Pure.

Source: DESIGN G14: a notice carries no patient data; whoever gets one asks the service what it is about.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.core.ids import EngagementId


class NoticeKind(StrEnum):
    """What happened. The name is stored, so it is never given another meaning."""

    BREAK_GLASS_USED = "break_glass_used"
    BREAK_GLASS_CONFIRMATION = "break_glass_confirmation"
    BREAK_GLASS_REVIEW = "break_glass_review"
    BREAK_GLASS_OVERDUE = "break_glass_overdue"
    BREAK_GLASS_ESCALATED = "break_glass_escalated"
    BREAK_GLASS_NOT_JUSTIFIED = "break_glass_not_justified"
    CONSENT_ASKED = "consent_asked"
    CONSENT_RECORDED = "consent_recorded"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_EXPIRING_30 = "consent_expiring_30"
    CONSENT_EXPIRING_7 = "consent_expiring_7"
    CONSENT_REVIEW = "consent_review"
    RENEWAL_DUE = "renewal_due"
    ORAL_CONFIRMATION = "oral_confirmation"
    REPRESENTATION_RECORDED = "representation_recorded"
    REPRESENTATION_ENDED = "representation_ended"
    PRACTICE_CHANGE_ASKED = "practice_change_asked"
    PRACTICE_CHANGED = "practice_changed"
    PRACTICE_CHANGE_OFF = "practice_change_off"
    EXCLUSION_ENDED = "exclusion_ended"
    OBJECTION_ENDED = "objection_ended"
    DISCLOSURE_RECORDED = "disclosure_recorded"
    DEATH_RECORDED = "death_recorded"
    DEATH_UNDONE = "death_undone"


class Channel(StrEnum):
    """How a notice reaches whom it is for; with *veilig contact* nothing goes to a citizen's home."""

    ACCOUNT = "account"
    LETTER = "letter"
    IN_PERSON = "in-person"


@dataclass(frozen=True, slots=True)
class Citizen:
    """The person whom a case is about: in their account, else by a letter that the case manager sends."""

    patient_id: UUID


@dataclass(frozen=True, slots=True)
class Engaged:
    """Somebody in one engagement; of a case they are told only while they sit there, unless ``always``."""

    engagement_id: EngagementId
    always: bool = False


@dataclass(frozen=True, slots=True)
class Managers:
    """Whoever manages the case, while they do, and whom the patient concerned does not keep away.

    Without a patient it is about the whole case.
    """

    patient_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PrivacyOfficers:
    """Every privacy officer of the region but the one who acts."""


To = Citizen | Engaged | Managers | PrivacyOfficers
