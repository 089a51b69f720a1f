"""From members, tasks and consents to grants: who holds which cell of whom, on which ground, when. Pure, no clock.

A grant's period is the intersection of the periods of everything it rests on, half-open ``[start, end)``, so that the
same rows close by time before anybody derives them again. Source: DESIGN 2 and 5.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.access.tables import IMPLIED, NEVER_BY_CONSENT, PUBLIC_TASK, SUBJECT, TREATING, need_to_know
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
    """An engagement that stands behind an accepted member, and since when."""

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


@dataclass(frozen=True, slots=True)
class SubjectOf:
    """A subject, and the citizen's account if one is linked."""

    patient_id: PatientId
    account_id: AccountId | None


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
    """Everything the grants of one case rest on."""

    subjects: tuple[SubjectOf, ...]
    seats: tuple[Seat, ...]
    tasks: tuple[Task, ...]
    consents: tuple[Lifting, ...]
    replacements: tuple[Replacement, ...] = ()


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


def derive(inputs: Inputs, *, now: datetime) -> frozenset[Grant]:
    """Return every grant that is in force at ``now`` or will be, and none that has lapsed.

    First the grounds that rest on the member alone, then what consents lift, then what recipients write back to
    whoever holds the category by either, then what any cell implies; all of it again for whoever stands in.
    """
    held = set(_standing(inputs))
    held |= set(_lifted(inputs))
    held |= set(_answered(inputs, frozenset(held)))
    held |= set(_implied(held))
    held |= set(_replaced(inputs, frozenset(held)))
    return frozenset(grant for grant in held if grant.period.end is None or grant.period.end > now)


def _standing(inputs: Inputs) -> Iterator[Grant]:
    """Yield what subjecthood, treatment and public task open."""
    for seat in inputs.seats:
        for subject in inputs.subjects:
            if subject.account_id == seat.account_id and seat.role is Role.CITIZEN:
                for domain in Domain:
                    yield from _cells(seat, subject.patient_id, SUBJECT.items(), domain, Ground.SUBJECT)
            if seat.direct_treatment and seat.role in TREATING and seat.domain in (Domain.CARE, Domain.YOUTH):
                table = need_to_know(seat.role, seat.speciality).items()
                yield from _cells(seat, subject.patient_id, table, seat.domain, Ground.DIRECT_TREATMENT)
            if seat.role is Role.SOCIAL_TEAM:
                for task in inputs.tasks:
                    if (
                        task.member_id == seat.member_id
                        and task.law is seat.law
                        and (period := seat.period.within(task.period))
                    ):
                        yield from _cells(
                            replace(seat, period=period),
                            subject.patient_id,
                            PUBLIC_TASK[task.law].items(),
                            Domain.SOCIAL,
                            Ground.PUBLIC_TASK,
                        )


def _cells(
    seat: Seat, patient_id: PatientId, table: Iterable[tuple[Category, bool]], domain: Domain, ground: Ground
) -> Iterator[Grant]:
    # One's own file has no beginning: the citizen sees what was said before the account was linked.
    from_seq = 0 if ground is Ground.SUBJECT else seat.from_seq
    for category, may_write in table:
        yield Grant(
            member_id=seat.member_id,
            engagement_id=seat.engagement_id,
            account_id=seat.account_id,
            patient_id=patient_id,
            category=category,
            domain=domain,
            may_write=may_write,
            ground=ground,
            consent_id=None,
            visible_from_seq=from_seq,
            threads_from_seq=0,
            period=seat.period,
        )


def _lifted(inputs: Inputs) -> Iterator[Grant]:
    """Yield what consents open to their recipients: the lifted cells, and both ways the same in their own domain.

    In their own domain only what is opened from the consent on: lifting one secrecy lifts no other.
    """
    for consent, seat, period in _reached(inputs):
        for category in consent.categories - NEVER_BY_CONSENT:
            for domain in consent.from_domains:
                yield _consent_grant(consent, seat, category, domain, consent.both_ways, period, 0)
            if consent.both_ways and seat.domain is not None and seat.domain not in consent.from_domains:
                yield _consent_grant(consent, seat, category, seat.domain, True, period, consent.threads_from_seq)


def _answered(inputs: Inputs, held: frozenset[Grant]) -> Iterator[Grant]:
    """Yield what recipients open in their domain to members of the lifted domains who hold the category in their own.

    Threads that were there before the consent are not the recipients' answer, and stay closed.
    """
    seats = {(seat.member_id, seat.engagement_id): seat for seat in inputs.seats}
    for consent, recipient, period in _reached(inputs):
        if not consent.both_ways or recipient.domain is None:
            continue
        for grant in held:
            seat = seats[(grant.member_id, grant.engagement_id)]
            if (
                grant.patient_id == consent.patient_id
                and grant.category in consent.categories - NEVER_BY_CONSENT
                and grant.domain is seat.domain
                and seat.domain in consent.from_domains
                # In the recipient's own domain a need-to-know table has said what one reads and what one writes.
                and seat.domain is not recipient.domain
                and (both := grant.period.within(period))
            ):
                bound = consent.threads_from_seq
                yield _consent_grant(consent, seat, grant.category, recipient.domain, True, both, bound)


def _reached(inputs: Inputs) -> Iterator[tuple[Lifting, Seat, Period]]:
    """Yield each consent with each seat it reaches, and when."""
    for consent in inputs.consents:
        own_account = next((s.account_id for s in inputs.subjects if s.patient_id == consent.patient_id), None)
        for seat in inputs.seats:
            # What is one's own needs no lifting; another citizen at the table, of the same household say, is reached.
            if seat.role is Role.CITIZEN and seat.account_id == own_account:
                continue
            for period in _periods_of(consent, seat):
                yield consent, seat, period


def _periods_of(consent: Lifting, seat: Seat) -> Iterator[Period]:
    """Yield the periods in which the consent reaches this seat, at most one for each way it is named."""
    reach = seat.period.within(consent.period)
    if reach is None:
        return
    for recipient in consent.recipients:
        if (
            (recipient.type == "member" and recipient.id == seat.member_id)
            or (recipient.type == "organisation" and recipient.id == seat.organisation_id)
            or (recipient.type == "role" and recipient.role is seat.role)
        ):
            yield reach
        elif recipient.type == "team":
            for team_id, period in seat.teams:
                if team_id == recipient.id and (part := reach.within(period)):
                    yield part


def _consent_grant(
    consent: Lifting,
    seat: Seat,
    category: Category,
    domain: Domain,
    may_write: bool,
    period: Period,
    threads_from_seq: int,
) -> Grant:
    return Grant(
        member_id=seat.member_id,
        engagement_id=seat.engagement_id,
        account_id=seat.account_id,
        patient_id=consent.patient_id,
        category=category,
        domain=domain,
        may_write=may_write,
        ground=Ground.CONSENT,
        consent_id=consent.consent_id,
        visible_from_seq=max(consent.from_seq, seat.from_seq),
        threads_from_seq=threads_from_seq,
        period=period,
    )


def _implied(held: Iterable[Grant]) -> Iterator[Grant]:
    """Yield reading of identification and contact network, in every domain, for whoever holds any cell."""
    widest: dict[tuple[object, ...], Grant] = {}
    for grant in held:
        key = (grant.member_id, grant.engagement_id, grant.patient_id, grant.ground, grant.consent_id, grant.period)
        if key not in widest or grant.threads_from_seq < widest[key].threads_from_seq:
            widest[key] = grant
    for grant in widest.values():
        for category in IMPLIED:
            for domain in Domain:
                # The bounds stay: names and members are rows, which have none, but these labels stand on threads too.
                yield replace(grant, category=category, domain=domain, may_write=False)


def _replaced(inputs: Inputs, held: frozenset[Grant]) -> Iterator[Grant]:
    """Yield to substitutes each cell of whom they replace, on the same bounds; nobody stands in for a citizen."""
    for one in inputs.replacements:
        for grant in held:
            if grant.engagement_id != one.replaced_engagement_id or grant.ground is Ground.SUBJECT:
                continue
            if period := grant.period.within(one.period):
                yield replace(
                    grant,
                    engagement_id=one.substitute_engagement_id,
                    account_id=one.substitute_account_id,
                    ground=Ground.REPLACEMENT,
                    replacement_id=one.replacement_id,
                    on_behalf_of=one.replaced_account_id,
                    period=period,
                )
