"""Grants in full, by example: on what each rests, since which position it shows and until when it lasts."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from app.access.vocabulary import Category, Domain, Ground, Law, Role
from app.entitlement.grants import Emergency, Grant, Inputs, Lifting, Period, Seat, Task
from app.entitlement.rules import CLOSING_ROUND, derive
from tests.entitlement.test_rules import (
    CARE,
    CARER,
    CITIZEN,
    GP,
    HOUR,
    MEDICATION,
    MOTHER,
    NOW,
    NURSE,
    PARTICIPATION,
    POH,
    SINCE,
    SOCIAL,
    SUBJECTS,
    WORKER,
    lifting,
    replacing,
    seat,
)

LATE_NURSE, LATE_WORKER = replace(NURSE, from_seq=40), replace(WORKER, from_seq=40)
LOCUM = seat(9, Role.GP, CARE)
WMO = Task(WORKER.member_id, Law.WMO2015, WORKER.period)


def derived(*seats: Seat, **more: Any) -> frozenset[Grant]:
    """Derive about the mother."""
    return derive(replace(Inputs(SUBJECTS[:1], seats, (), ()), **more), now=NOW)


def of(found: frozenset[Grant], who: Seat, category: Category, domain: Domain, ground: Ground) -> Grant:
    """Return the one grant of this cell on this ground."""
    (only,) = (
        grant
        for grant in found
        if (grant.engagement_id, grant.category, grant.domain, grant.ground)
        == (who.engagement_id, category, domain, ground)
    )
    return only


def plain(who: Seat, category: Category, domain: Domain, ground: Ground, **more: Any) -> Grant:
    """Return a grant of the mother's cell that writes, rests on the seat alone and lasts as long as it."""
    grant = Grant(
        member_id=who.member_id,
        engagement_id=who.engagement_id,
        account_id=who.account_id,
        patient_id=MOTHER,
        category=category,
        domain=domain,
        may_write=True,
        ground=ground,
        consent_id=None,
        visible_from_seq=who.from_seq,
        threads_from_seq=0,
        period=who.period,
    )
    return replace(grant, **more)


@pytest.mark.parametrize(
    ("who", "category", "domain", "ground"),
    [
        (LATE_NURSE, MEDICATION, CARE, Ground.DIRECT_TREATMENT),
        (LATE_WORKER, PARTICIPATION, SOCIAL, Ground.PUBLIC_TASK),
        (CITIZEN, MEDICATION, CARE, Ground.SUBJECT),
    ],
)
def test_what_rests_on_the_seat_alone_shows_what_was_said_since_the_seat_was_taken(
    who: Seat, category: Category, domain: Domain, ground: Ground
) -> None:
    found = derived(who, tasks=(WMO,))
    assert of(found, who, category, domain, ground) == plain(who, category, domain, ground)


def test_the_citizen_s_own_file_has_no_beginning_however_late_the_account_came() -> None:
    late = replace(CITIZEN, from_seq=40)
    assert of(derived(late), late, MEDICATION, SOCIAL, Ground.SUBJECT).visible_from_seq == 0


@pytest.mark.parametrize(("of_consent", "of_member", "since"), [(30, 40, 40), (50, 40, 50), (40, 40, 40)])
def test_what_a_consent_opens_names_the_consent_and_shows_from_the_later_bound(
    of_consent: int, of_member: int, since: int
) -> None:
    worker = replace(WORKER, from_seq=of_member)
    shared = lifting(worker, from_seq=of_consent)
    agreed = {"consent_id": shared.consent_id, "visible_from_seq": since}
    found = derived(worker, consents=(shared,))
    lifted = plain(worker, PARTICIPATION, CARE, Ground.CONSENT, **agreed)
    assert of(found, worker, PARTICIPATION, CARE, Ground.CONSENT) == lifted
    own = plain(worker, PARTICIPATION, SOCIAL, Ground.CONSENT, **agreed, threads_from_seq=SINCE)
    assert of(found, worker, PARTICIPATION, SOCIAL, Ground.CONSENT) == own, "of the own domain what comes after"


def test_the_answer_names_the_consent_that_it_answers() -> None:
    shared = lifting(WORKER)
    answer = of(derived(NURSE, WORKER, consents=(shared,)), NURSE, PARTICIPATION, SOCIAL, Ground.CONSENT)
    assert answer == plain(
        NURSE, PARTICIPATION, SOCIAL, Ground.CONSENT, consent_id=shared.consent_id, threads_from_seq=SINCE
    )


def test_who_reads_along_reads_who_it_is_about_by_the_same_consent_on_the_same_bounds() -> None:
    shared = lifting(WORKER, from_seq=30, both_ways=False)
    name = of(derived(WORKER, consents=(shared,)), WORKER, Category.IDENTIFICATION, CARE, Ground.CONSENT)
    assert (name.consent_id, name.visible_from_seq, name.may_write) == (shared.consent_id, 30, False)


def test_who_stands_in_holds_the_same_on_behalf_of_whom_they_replace_for_as_long() -> None:
    shared = lifting(GP, categories=[Category.ZRM], from_domains=frozenset({SOCIAL}), from_seq=30)
    until = Period(NOW, NOW + HOUR)
    standing_in = replacing(GP, LOCUM, period=until)
    found = derived(replace(GP, from_seq=20), consents=(shared,), replacements=(standing_in,))
    expected = plain(
        GP,
        Category.ZRM,
        SOCIAL,
        Ground.REPLACEMENT,
        engagement_id=LOCUM.engagement_id,
        account_id=LOCUM.account_id,
        consent_id=shared.consent_id,
        visible_from_seq=30,
        period=until,
        replacement_id=standing_in.replacement_id,
        on_behalf_of=GP.account_id,
    )
    assert of(found, LOCUM, Category.ZRM, SOCIAL, Ground.REPLACEMENT) == expected


def test_a_public_task_opens_for_as_long_as_it_was_recorded_and_the_seat_is_there() -> None:
    for recorded, expected in (
        (Period(NOW, NOW + HOUR), Period(NOW, NOW + HOUR)),
        (Period(NOW - 9999 * HOUR, NOW + HOUR), Period(WORKER.period.start, NOW + HOUR)),
    ):
        found = derived(WORKER, tasks=(replace(WMO, period=recorded),))
        assert {grant.period for grant in found} == {expected}


@pytest.mark.parametrize(
    ("speciality", "sees_how_a_child_grows_up"),
    [(None, True), ("jeugd", True), ("ouderen", True), ("somatiek", False), ("ggz", False)],
)
def test_a_practice_nurse_sees_how_a_child_grows_up_unless_the_speciality_is_another(
    speciality: str | None, sees_how_a_child_grows_up: bool
) -> None:
    found = {grant.category for grant in derived(replace(POH, speciality=speciality))}
    assert MEDICATION in found
    for category in (Category.YOUTH_DEVELOPMENT, Category.EDUCATION):
        assert (category in found) is sees_how_a_child_grows_up


def lasting(period: Period) -> Lifting:
    return lifting(WORKER, period=period)


@pytest.mark.parametrize(
    ("said", "period", "there"),
    [
        ("what began and goes on is granted", Period(NOW - HOUR), True),
        ("what is to come is granted already", Period(NOW + HOUR, NOW + 2 * HOUR), True),
        ("what lasts a while yet is granted", Period(NOW - HOUR, NOW + HOUR), True),
        ("what ends now is not", Period(NOW - HOUR, NOW), False),
        ("what is over is not", Period(NOW - 2 * HOUR, NOW - HOUR), False),
    ],
)
def test_only_what_lapsed_is_not_granted(said: str, period: Period, there: bool) -> None:
    found = derived(WORKER, consents=(lasting(period),))
    assert {grant.period for grant in found} == ({period} if there else set()), said


def test_a_grant_lasts_as_long_as_all_that_it_rests_on() -> None:
    worker = replace(WORKER, period=Period(NOW - HOUR, NOW + 2 * HOUR))
    for agreed, expected in (
        (Period(NOW - 2 * HOUR, NOW + HOUR), Period(NOW - HOUR, NOW + HOUR)),
        (Period(NOW, None), Period(NOW, NOW + 2 * HOUR)),
        (Period(NOW + HOUR, NOW + 3 * HOUR), Period(NOW + HOUR, NOW + 2 * HOUR)),
    ):
        assert {grant.period for grant in derived(worker, consents=(lasting(agreed),))} == {expected}
    assert not derived(worker, consents=(lasting(Period(NOW + 2 * HOUR)),)), "one ends as the other begins"


@pytest.mark.parametrize(
    ("said", "until", "died_at", "expected"),
    [
        ("without an end as long as the seat", None, None, None),
        ("somebody who takes part by a consent until that ends", NOW + HOUR, None, NOW + HOUR),
        ("of a consent and a closing round the sooner", NOW + HOUR, NOW, NOW + HOUR),
        ("of a closing round and a later consent too", NOW + 9999 * HOUR, NOW, NOW + CLOSING_ROUND),
        ("who died without one until the closing round ends", None, NOW, NOW + CLOSING_ROUND),
    ],
)
def test_what_is_open_about_somebody_ends_with_taking_part_or_after_death(
    said: str, until: datetime | None, died_at: datetime | None, expected: datetime | None
) -> None:
    mother = replace(SUBJECTS[0], until=until, died_at=died_at)
    for found in (derived(GP, subjects=(mother,)), derived(GP, LOCUM, subjects=(mother,), tasks=(WMO,))):
        assert {grant.period for grant in found} == {Period(GP.period.start, expected)}, said


def test_nothing_is_open_about_somebody_who_took_part_before_or_does_not() -> None:
    gone = replace(SUBJECTS[0], until=GP.period.start)
    assert derived(GP, subjects=(gone,)) == frozenset()
    assert derived(GP, subjects=(replace(gone, died_at=NOW),)) == frozenset()
    emergency = Emergency(SUBJECTS[1].patient_id, GP.member_id, True, GP.period)
    assert {grant.patient_id for grant in derived(GP, emergencies=(emergency,))} == {MOTHER}


def test_somebody_near_to_the_citizen_reads_along_and_writes_nothing_even_both_ways() -> None:
    shared = lifting(CARER, WORKER)
    found = derived(CARER, WORKER, consents=(shared,))
    assert of(found, CARER, PARTICIPATION, CARE, Ground.CONSENT).may_write is False
    assert of(found, WORKER, PARTICIPATION, CARE, Ground.CONSENT).may_write is True


def test_one_consent_that_asks_no_answer_takes_away_none_that_does() -> None:
    silent = lifting(WORKER, both_ways=False, number=2)
    found = derived(NURSE, WORKER, consents=(silent, lifting(WORKER)))
    assert of(found, NURSE, PARTICIPATION, SOCIAL, Ground.CONSENT).may_write is True


def test_a_consent_of_somebody_whom_the_case_is_not_about_opens_nothing_and_disturbs_nothing() -> None:
    theirs = lifting(WORKER, patient_id=SUBJECTS[1].patient_id)
    assert derived(GP, WORKER, consents=(theirs,)) == derived(GP, WORKER)


def test_who_stands_in_for_one_of_many_holds_all_that_one_holds_and_nothing_of_the_others() -> None:
    many = (CITIZEN, CARER, GP, NURSE, WORKER)
    found = derived(*many, consents=(lifting(WORKER, CARER),), tasks=(WMO,), replacements=(replacing(GP, LOCUM),))
    held = {
        who.engagement_id: {
            (g.category, g.domain, g.may_write) for g in found if g.engagement_id == who.engagement_id
        }
        for who in (GP, LOCUM)
    }
    assert held[LOCUM.engagement_id] == held[GP.engagement_id]
