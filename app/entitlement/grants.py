"""What the grants of one case rest on, and what a grant says: values, no clock and no database."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.access.vocabulary import Category, Domain, Ground, Law, Role
from app.core.ids import (
    AccountId,
    ConsentId,
    EngagementId,
    MemberId,
    OrganisationId,
    PatientId,
    ReplacementId,
    TeamId,
)


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open period of time, ``[start, end)``; no end means for ever."""

    start: datetime
    end: datetime | None = None

    def within(self, other: "Period") -> "Period | None":
        """Return the part of this period that lies in the other, or None if there is none."""
        start = max(self.start, other.start)
        ends = [end for end in (self.end, other.end) if end is not None]
        end = min(ends, default=None)
        return None if end is not None and end <= start else Period(start, end)

    def holds(self, at: datetime) -> bool:
        """Whether ``at`` lies in the period."""
        return self.start <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class Seat:
    """An engagement that stands behind an accepted member, and since when.

    Who broke the glass sits in an ``emergency``, and holds nothing else by that seat.
    """

    member_id: MemberId
    engagement_id: EngagementId
    account_id: AccountId
    role: Role
    domain: Domain | None
    law: Law | None
    organisation_id: OrganisationId | None
    direct_treatment: bool
    from_seq: int
    period: Period
    teams: tuple[tuple[TeamId, Period], ...] = ()
    speciality: str | None = None
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class SubjectOf:
    """A subject who takes part, the citizen's account if one is linked, and when a death was recorded.

    ``until`` is when the consent ends by which they take part, if it is by one and that has an end.
    ``participation`` is when they agreed to the platform itself; None where the deployment does not ask for that.
    """

    patient_id: PatientId
    account_id: AccountId | None
    died_at: datetime | None = None
    until: datetime | None = None
    participation: tuple[Period, ...] | None = None


@dataclass(frozen=True, slots=True)
class Represents:
    """A representative's say at one seat: for whom, about what (None: everything), and what is withheld from them."""

    patient_id: PatientId
    member_id: MemberId
    scope: frozenset[Category] | None
    withheld: frozenset[Category]
    period: Period


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Somebody of whom the citizen says: not this one."""

    patient_id: PatientId
    account_id: AccountId


@dataclass(frozen=True, slots=True)
class Objection:
    """What the citizen does not want one member to see by treatment; None means all of it."""

    patient_id: PatientId
    member_id: MemberId
    categories: frozenset[Category] | None


@dataclass(frozen=True, slots=True)
class Opening:
    """A category that treatment leaves closed, opened for one member with a reason."""

    patient_id: PatientId
    member_id: MemberId
    category: Category
    period: Period


@dataclass(frozen=True, slots=True)
class Emergency:
    """Somebody broke the glass about one patient."""

    patient_id: PatientId
    member_id: MemberId
    life_threatening: bool
    period: Period


@dataclass(frozen=True, slots=True)
class Task:
    """A public task recorded for one member."""

    member_id: MemberId
    law: Law
    period: Period


@dataclass(frozen=True, slots=True)
class Recipient:
    """To whom a consent opens: a member, organisation or team by id, or a role within the case."""

    type: str
    id: UUID | None = None
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Lifting:
    """An active consent of kind ``lift_secrecy``."""

    consent_id: ConsentId
    patient_id: PatientId
    from_domains: frozenset[Domain]
    categories: frozenset[Category]
    both_ways: bool
    from_seq: int
    threads_from_seq: int
    period: Period
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class Replacement:
    """Somebody who stands in for another engagement, while both are in force."""

    replacement_id: ReplacementId
    replaced_engagement_id: EngagementId
    replaced_account_id: AccountId
    substitute_engagement_id: EngagementId
    substitute_account_id: AccountId
    period: Period


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything the grants of one case rest on; ``home`` is the organisation that opened it."""

    subjects: tuple[SubjectOf, ...]
    seats: tuple[Seat, ...]
    tasks: tuple[Task, ...]
    consents: tuple[Lifting, ...]
    replacements: tuple[Replacement, ...] = ()
    represents: tuple[Represents, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    objections: tuple[Objection, ...] = ()
    openings: tuple[Opening, ...] = ()
    emergencies: tuple[Emergency, ...] = ()
    home: OrganisationId | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """One open cell.

    ``visible_from_seq`` is the first position of the stream that it shows, ``threads_from_seq`` the first at which a
    thread may have been opened to be shown. ``on_behalf_of`` is whom a substitute replaces.
    """

    member_id: MemberId
    engagement_id: EngagementId
    account_id: AccountId
    patient_id: PatientId
    category: Category
    domain: Domain
    may_write: bool
    ground: Ground
    consent_id: ConsentId | None
    visible_from_seq: int
    threads_from_seq: int
    period: Period
    replacement_id: ReplacementId | None = None
    on_behalf_of: AccountId | None = None
