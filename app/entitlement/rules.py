"""From members, tasks and consents to grants: who holds which cell of whom, on which ground, when. Pure, no clock.

A grant's period is the intersection of the periods of everything it rests on, half-open ``[start, end)``, so that the
same rows close by time before anybody derives them again. Source: DESIGN 2 and 5.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from app.access.tables import (
    EMERGENCY,
    IMPLIED,
    NEVER_BY_CONSENT,
    OPENED_PER_MEMBER,
    PUBLIC_TASK,
    SUBJECT,
    TREATING,
    need_to_know,
)
from app.access.vocabulary import Category, Domain, Ground, Role
from app.core.ids import PatientId
from app.entitlement.grants import Grant, Inputs, Lifting, Period, Seat

ENDING_WITH_DEATH = frozenset({Role.CITIZEN, Role.REPRESENTATIVE, Role.INFORMAL_CARER})
"""Whose access to a patient ends with the death of that patient at once."""

CLOSING_ROUND = timedelta(days=30)
"""How long professionals go on after a death, to round off. Source: DESIGN 5; issue 3 of 11, part 11."""


def derive(inputs: Inputs, *, now: datetime) -> frozenset[Grant]:
    """Return every grant that is in force at ``now`` or will be, and none that has lapsed.

    First the grounds that rest on the member alone, then what consents lift, then what recipients write back to
    whoever holds the category by either, then what any cell implies; without whom the citizen excluded, and as long
    as a death allows; all of it again for whoever stands in. Emergencies come last, for they stop at less.
    """
    held = set(_standing(inputs))
    held |= set(_lifted(inputs))
    held |= set(_answered(inputs, frozenset(held)))
    held = set(_taking_part(inputs, held))
    held |= set(_implied(held))
    held = set(_while_alive(inputs, _not_excluded(inputs, held)))
    held |= set(_not_excluded(inputs, _replaced(inputs, frozenset(held))))
    held |= set(_while_alive(inputs, _emergencies(inputs)))
    return frozenset(grant for grant in held if grant.period.end is None or grant.period.end > now)


def _standing(inputs: Inputs) -> Iterator[Grant]:
    """Yield what subjecthood, representation, treatment and public task open."""
    for seat in inputs.seats:
        for subject in inputs.subjects:
            if subject.account_id == seat.account_id and seat.role is Role.CITIZEN:
                for domain in Domain:
                    yield from _cells(seat, subject.patient_id, SUBJECT.items(), domain, Ground.SUBJECT)
            yield from _represented(inputs, seat, subject.patient_id)
            yield from _treated(inputs, seat, subject.patient_id)
            yield from _tasked(inputs, seat, subject.patient_id)


def _represented(inputs: Inputs, seat: Seat, patient_id: PatientId) -> Iterator[Grant]:
    """Yield what a representative sees in the place of whom they represent, within their scope."""
    for one in inputs.represents:
        if (
            seat.role is Role.REPRESENTATIVE
            and one.member_id == seat.member_id
            and one.patient_id == patient_id
            and (period := seat.period.within(one.period))
        ):
            open_ = SUBJECT.keys() & (one.scope if one.scope is not None else SUBJECT.keys())
            table = {category: SUBJECT[category] for category in open_ - one.withheld}.items()
            for domain in Domain:
                yield from _cells(replace(seat, period=period), patient_id, table, domain, Ground.SUBJECT)


def _treated(inputs: Inputs, seat: Seat, patient_id: PatientId) -> Iterator[Grant]:
    """Yield what treating opens: the profession's table and what was opened, less what the citizen objects to."""
    if not (seat.direct_treatment and seat.role in TREATING and seat.domain in (Domain.CARE, Domain.YOUTH)):
        return
    closed: set[Category] = set()
    for objection in inputs.objections:
        if (objection.patient_id, objection.member_id) == (patient_id, seat.member_id):
            closed |= set(Category) if objection.categories is None else objection.categories
    table = {c: write for c, write in need_to_know(seat.role, seat.speciality).items() if c not in closed}
    yield from _cells(seat, patient_id, table.items(), seat.domain, Ground.DIRECT_TREATMENT)
    for opening in inputs.openings:
        if (
            (opening.patient_id, opening.member_id) == (patient_id, seat.member_id)
            and opening.category in OPENED_PER_MEMBER.keys() - closed
            and (period := seat.period.within(opening.period))
        ):
            cell = ((opening.category, seat.role in OPENED_PER_MEMBER[opening.category]),)
            yield from _cells(replace(seat, period=period), patient_id, cell, seat.domain, Ground.DIRECT_TREATMENT)


def _tasked(inputs: Inputs, seat: Seat, patient_id: PatientId) -> Iterator[Grant]:
    """Yield what a recorded public task opens."""
    if seat.role is not Role.SOCIAL_TEAM:
        return
    for task in inputs.tasks:
        if task.member_id == seat.member_id and task.law is seat.law and (period := seat.period.within(task.period)):
            table = PUBLIC_TASK[task.law].items()
            yield from _cells(replace(seat, period=period), patient_id, table, Domain.SOCIAL, Ground.PUBLIC_TASK)


def _taking_part(inputs: Inputs, grants: Iterable[Grant]) -> Iterator[Grant]:
    """Yield the grants as far as the citizen takes part; one's own and those of the opening organisation stay."""
    asked = {one.patient_id: one.participation for one in inputs.subjects if one.participation is not None}
    at_home = {
        (seat.member_id, seat.engagement_id)
        for seat in inputs.seats
        if seat.organisation_id is not None and seat.organisation_id == inputs.home
    }
    for grant in grants:
        periods = asked.get(grant.patient_id)
        if periods is None or grant.ground is Ground.SUBJECT or (grant.member_id, grant.engagement_id) in at_home:
            yield grant
            continue
        for agreed in periods:
            if period := grant.period.within(agreed):
                yield replace(grant, period=period)


def _not_excluded(inputs: Inputs, grants: Iterable[Grant]) -> Iterator[Grant]:
    excluded = {(one.patient_id, one.account_id) for one in inputs.exclusions}
    return (grant for grant in grants if (grant.patient_id, grant.account_id) not in excluded)


def _emergencies(inputs: Inputs) -> Iterator[Grant]:
    """Yield the emergency subset to whoever broke the glass; an exclusion gives way to a threatened life alone."""
    excluded = {(one.patient_id, one.account_id) for one in inputs.exclusions}
    for one in inputs.emergencies:
        for seat in inputs.seats:
            if seat.member_id != one.member_id or (period := seat.period.within(one.period)) is None:
                continue
            if one.life_threatening or (one.patient_id, seat.account_id) not in excluded:
                for domain in Domain:
                    chair = replace(seat, period=period)
                    yield from _cells(chair, one.patient_id, EMERGENCY.items(), domain, Ground.EMERGENCY)


def _while_alive(inputs: Inputs, grants: Iterable[Grant]) -> Iterator[Grant]:
    """Yield the grants on whoever takes part, as long as they do, and as far as a death lets them.

    One's own and those of one's own people end with a death.
    """
    subjects = {one.patient_id: one for one in inputs.subjects}
    own = {(seat.member_id, seat.engagement_id) for seat in inputs.seats if seat.role in ENDING_WITH_DEATH}
    for grant in grants:
        if (subject := subjects.get(grant.patient_id)) is None:
            continue
        ends = [subject.until]
        if subject.died_at is not None:
            mine = (grant.member_id, grant.engagement_id) in own
            ends.append(subject.died_at if mine else subject.died_at + CLOSING_ROUND)
        period: Period | None = grant.period
        for end in ends:
            if end is not None and period is not None:
                period = period.within(Period(period.start, end))
        if period is not None:
            yield grant if period == grant.period else replace(grant, period=period)


def _cells(
    seat: Seat, patient_id: PatientId, table: Iterable[tuple[Category, bool]], domain: Domain, ground: Ground
) -> Iterator[Grant]:
    # One's own file has no beginning: the citizen sees what was said before the account was linked.
    # Nor does what somebody needs to know in an emergency.
    from_seq = 0 if ground in (Ground.SUBJECT, Ground.EMERGENCY) else seat.from_seq
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
        # Somebody near to the citizen reads along, and writes nothing.
        both_ways = consent.both_ways and seat.role is not Role.INFORMAL_CARER
        for category in consent.categories - NEVER_BY_CONSENT:
            for domain in consent.from_domains:
                yield _consent_grant(consent, seat, category, domain, both_ways, period, 0)
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
    if reach is None or seat.emergency:
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
