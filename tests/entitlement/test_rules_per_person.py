"""What exclusions, objections, openings, representatives, emergencies and death do to the derivation. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.access.vocabulary import Category, Domain, Ground, Law, Role
from app.core.ids import OrganisationId
from app.entitlement.grants import (
    Emergency,
    Exclusion,
    Grant,
    Inputs,
    Objection,
    Opening,
    Period,
    Represents,
    Seat,
    SubjectOf,
    Task,
)
from app.entitlement.rules import CLOSING_ROUND, derive
from tests.entitlement.test_rules import (
    ALWAYS,
    CARE,
    CARER,
    CITIZEN,
    GP,
    GROWN_SON,
    HOUR,
    IMPLIED,
    MOTHER,
    NOW,
    NURSE,
    NURSE_TABLE,
    POH,
    PRACTICE,
    SOCIAL,
    SON,
    SPECIALIST,
    SUBJECTS,
    WORKER,
    YOUTH,
    cells,
    lifting,
    replacing,
    seat,
)

MENTAL, ADDICTION, WISHES = Category.MENTAL_HEALTH, Category.ADDICTION, Category.ADVANCE_CARE_PLANNING
MENTOR = seat(10, Role.REPRESENTATIVE, from_seq=40)
DUTY = seat(11, Role.GP, CARE, emergency=True)


def derived(*seats: Seat, now: datetime = NOW, home: OrganisationId | None = None, **inputs: Any) -> frozenset[Grant]:
    """Derive from these seats and whatever else is named, about the mother and her son."""
    plain: Any = Inputs(SUBJECTS, seats, (), ())
    given = {name: tuple(found) for name, found in inputs.items()}
    return derive(replace(plain, home=home, **given), now=now)


def without(held: Iterable[tuple[Category, Domain]], *categories: Category) -> set[tuple[Category, Domain]]:
    """Return the cells but for those of some categories."""
    return {cell for cell in held if cell[0] not in categories}


# exclusion


def test_whom_the_citizen_excludes_holds_nothing_on_any_ground_and_nobody_else_loses_anything() -> None:
    task = Task(WORKER.member_id, Law.WMO2015, ALWAYS)
    shared = lifting(WORKER)
    everybody = (GP, NURSE, WORKER, CITIZEN)
    before = derived(*everybody, consents=[shared], tasks=[task])
    for one in everybody:
        exclusion = Exclusion(MOTHER, one.account_id)
        after = derived(*everybody, consents=[shared], tasks=[task], exclusions=[exclusion])
        assert cells(before, one, MOTHER)
        assert cells(after, one, MOTHER) == {}
        assert cells(after, one, SON) == cells(before, one, SON), "it is about one patient"
        for other in set(everybody) - {one}:
            assert cells(after, other, MOTHER) == cells(before, other, MOTHER)


def test_an_exclusion_follows_the_account_into_every_engagement() -> None:
    elsewhere = replace(seat(12, Role.SPECIALIST, CARE, direct_treatment=True), account_id=NURSE.account_id)
    found = derived(NURSE, elsewhere, exclusions=[Exclusion(MOTHER, NURSE.account_id)])
    assert cells(found, elsewhere, MOTHER) == cells(found, NURSE, MOTHER) == {}


def test_nobody_stands_in_for_whom_is_excluded_nor_anybody_excluded_for_others() -> None:
    locum = seat(9, Role.GP, CARE)
    standing_in = [replacing(GP, locum)]
    assert cells(derived(GP, replacements=standing_in), locum, MOTHER)
    for account in (GP.account_id, locum.account_id):
        found = derived(GP, replacements=standing_in, exclusions=[Exclusion(MOTHER, account)])
        assert cells(found, locum, MOTHER) == {}


# objection


def test_an_objection_closes_what_treatment_opens_to_one_member_and_nothing_else() -> None:
    shared = lifting(NURSE, categories=[Category.ZRM])
    whole = derived(GP, NURSE, consents=[shared])
    part = derived(
        GP,
        NURSE,
        consents=[shared],
        objections=[Objection(MOTHER, NURSE.member_id, frozenset({Category.MEDICATION}))],
    )
    assert cells(part, NURSE).keys() == without(cells(whole, NURSE), Category.MEDICATION)
    assert cells(part, GP) == cells(whole, GP)
    assert cells(part, NURSE, SON) == cells(whole, NURSE, SON)
    nothing = derived(GP, NURSE, consents=[shared], objections=[Objection(MOTHER, NURSE.member_id, None)])
    assert cells(nothing, NURSE) == {**IMPLIED, (Category.ZRM, CARE): True}, "what the citizen agreed to stays"


def test_two_objections_close_both_and_who_stands_in_meets_them_too() -> None:
    both = [
        Objection(MOTHER, NURSE.member_id, frozenset({Category.MEDICATION})),
        Objection(MOTHER, NURSE.member_id, frozenset({Category.CRISIS_PLAN})),
    ]
    found = derived(NURSE, objections=both, replacements=[replacing(NURSE, POH)])
    left = {**IMPLIED, **{(category, CARE): write for category, write in NURSE_TABLE.items()}}
    assert cells(found, NURSE).keys() == without(left, Category.MEDICATION, Category.CRISIS_PLAN)
    assert cells(found, POH) == cells(found, NURSE)


# opening for one member


@pytest.mark.parametrize("category", [MENTAL, ADDICTION, WISHES])
def test_what_treatment_leaves_closed_opens_for_one_member_in_the_own_domain(category: Category) -> None:
    opening = Opening(MOTHER, POH.member_id, category, ALWAYS)
    found = derived(GP, POH, openings=[opening])
    assert cells(found, POH)[(category, CARE)] is True
    assert [domain for cell, domain in cells(found, POH) if cell is category] == [CARE]
    assert (category, CARE) not in cells(found, GP)
    assert (category, CARE) not in cells(found, POH, SON)
    assert {grant.ground for grant in found if grant.category is category} == {Ground.DIRECT_TREATMENT}


def test_who_writes_in_what_was_opened_is_in_the_table() -> None:
    youth = replace(SPECIALIST, domain=YOUTH)
    writes = {(NURSE, MENTAL): False, (NURSE, WISHES): True, (SPECIALIST, ADDICTION): True, (youth, MENTAL): True}
    for (one, category), may_write in writes.items():
        assert one.domain is not None
        found = derived(one, openings=[Opening(MOTHER, one.member_id, category, ALWAYS)])
        assert cells(found, one)[(category, one.domain)] is may_write


def test_an_opening_is_worth_nothing_without_treatment_after_its_end_or_against_an_objection() -> None:
    opening = Opening(MOTHER, POH.member_id, MENTAL, Period(NOW - HOUR, NOW + HOUR))
    cell = (MENTAL, CARE)
    assert cell in cells(derived(POH, openings=[opening]), POH)
    assert cell not in cells(derived(POH, openings=[opening]), POH, at=NOW + HOUR)
    assert cell not in cells(derived(POH, openings=[opening]), POH, at=NOW - 2 * HOUR)
    assert cells(derived(replace(POH, direct_treatment=False), openings=[opening]), POH) == {}
    assert cells(derived(WORKER, openings=[replace(opening, member_id=WORKER.member_id)]), WORKER) == {}
    for categories in (None, frozenset({MENTAL})):
        refused = [Objection(MOTHER, POH.member_id, categories)]
        assert cell not in cells(derived(POH, openings=[opening], objections=refused), POH)
    other = [Objection(MOTHER, POH.member_id, frozenset({ADDICTION}))]
    assert cell in cells(derived(POH, openings=[opening], objections=other), POH)


def test_only_what_is_closed_for_that_reason_is_opened_like_this() -> None:
    for category in set(Category) - {MENTAL, ADDICTION, WISHES}:
        opening = Opening(MOTHER, NURSE.member_id, category, ALWAYS)
        assert cells(derived(NURSE, openings=[opening]), NURSE) == cells(derived(NURSE), NURSE)


# representation


def representing(**more: Any) -> Represents:
    """Return that the mentor represents the mother in everything."""
    return replace(Represents(MOTHER, MENTOR.member_id, None, frozenset(), ALWAYS), **more)


def test_a_representative_holds_what_the_citizen_would_within_scope_and_period() -> None:
    whole = derived(CITIZEN, MENTOR, represents=[representing()])
    assert cells(whole, MENTOR) == cells(whole, CITIZEN)
    assert cells(whole, MENTOR, SON) == {}
    mine = [grant for grant in whole if grant.engagement_id == MENTOR.engagement_id]
    assert {(grant.ground, grant.visible_from_seq) for grant in mine} == {(Ground.SUBJECT, 0)}
    scope = frozenset({Category.MEDICATION, Category.SAFETY_MELDCODE})
    part = derived(MENTOR, represents=[representing(scope=scope)])
    assert cells(part, MENTOR) == {**IMPLIED, **{(Category.MEDICATION, domain): True for domain in Domain}}
    ending = derived(MENTOR, represents=[representing(period=Period(NOW - HOUR, NOW + HOUR))])
    assert cells(ending, MENTOR)
    assert cells(ending, MENTOR, at=NOW + HOUR) == cells(ending, MENTOR, at=NOW - 2 * HOUR) == {}


def test_what_is_withheld_from_a_representative_stays_closed() -> None:
    withheld = frozenset({Category.MEDICATION, Category.IDENTIFICATION})
    found = derived(CITIZEN, MENTOR, represents=[representing(withheld=withheld)])
    assert cells(found, MENTOR).keys() == without(cells(found, CITIZEN), Category.MEDICATION), "names are implied"
    assert cells(found, MENTOR)[(Category.IDENTIFICATION, CARE)] is False
    everything = derived(MENTOR, represents=[representing(withheld=frozenset(Category))])
    assert cells(everything, MENTOR) == {}


def test_representation_is_worth_nothing_at_another_seat_or_in_another_role() -> None:
    assert cells(derived(MENTOR, represents=[representing(member_id=CARER.member_id)]), MENTOR) == {}
    assert cells(derived(replace(MENTOR, role=Role.INFORMAL_CARER), represents=[representing()]), MENTOR) == {}


# emergency

SUBSET = {
    *(Category.MEDICAL_SUMMARY, Category.MEDICATION, WISHES, Category.CRISIS_PLAN, Category.IDENTIFICATION),
    *(Category.CONTACT_NETWORK, Category.PRACTICAL_COORDINATION),
}


def breaking(of: Seat, **more: Any) -> Emergency:
    """Return that somebody broke the glass about the mother for an hour."""
    return replace(Emergency(MOTHER, of.member_id, False, Period(NOW, NOW + HOUR)), **more)


def test_who_breaks_the_glass_reads_the_emergency_subset_for_an_hour_and_nothing_besides() -> None:
    agreed = lifting(DUTY, categories=[Category.ZRM])
    found = derived(DUTY, emergencies=[breaking(DUTY)], consents=[agreed])
    assert cells(found, DUTY) == {(category, domain): False for category in SUBSET for domain in Domain}
    assert cells(found, DUTY, SON) == {}
    assert cells(found, DUTY, at=NOW + HOUR) == {}
    assert {(grant.ground, grant.visible_from_seq) for grant in found} == {(Ground.EMERGENCY, 0)}
    assert derived(DUTY) == frozenset(), "the seat alone gives nothing"
    assert derived(GP, emergencies=[breaking(DUTY)]) == derived(GP), "nor another's"


def test_a_member_who_breaks_the_glass_keeps_what_they_have_and_sees_back_to_the_beginning() -> None:
    late = replace(NURSE, from_seq=40)
    found = derived(late, emergencies=[breaking(late)])
    assert cells(found, late)[(Category.MEDICATION, CARE)] is True
    assert cells(found, late)[(WISHES, SOCIAL)] is False
    emergency = [grant for grant in found if grant.ground is Ground.EMERGENCY]
    assert {grant.visible_from_seq for grant in emergency} == {0}


def test_an_exclusion_gives_way_to_a_threatened_life_alone() -> None:
    excluded = [Exclusion(MOTHER, DUTY.account_id)]
    assert derived(DUTY, emergencies=[breaking(DUTY)], exclusions=excluded) == frozenset()
    threatened = derived(DUTY, emergencies=[breaking(DUTY, life_threatening=True)], exclusions=excluded)
    assert {category for category, _ in cells(threatened, DUTY)} == SUBSET
    about_the_son = [Exclusion(SON, DUTY.account_id)]
    assert derived(DUTY, emergencies=[breaking(DUTY)], exclusions=about_the_son)


def test_nobody_stands_in_for_whoever_broke_the_glass() -> None:
    found = derived(DUTY, emergencies=[breaking(DUTY)], replacements=[replacing(DUTY, POH)])
    assert cells(found, POH) == {}


# death


def test_death_ends_one_s_own_people_at_once_and_professionals_after_the_closing_round() -> None:
    died = tuple(replace(one, died_at=NOW) if one.patient_id == MOTHER else one for one in SUBJECTS)
    shared = lifting(CARER, both_ways=False)
    inputs: dict[str, Any] = {"consents": [shared], "represents": [representing()], "emergencies": [breaking(DUTY)]}
    found = derived(GP, CARER, CITIZEN, MENTOR, GROWN_SON, DUTY, subjects=died, now=NOW - HOUR, **inputs)
    for own in (CITIZEN, CARER, MENTOR):
        assert cells(found, own, at=NOW - timedelta(microseconds=1))
        assert cells(found, own, at=NOW) == {}
    assert cells(found, GP, at=NOW + CLOSING_ROUND - timedelta(microseconds=1)) == cells(derived(GP), GP)
    assert cells(found, GP, at=NOW + CLOSING_ROUND) == {}
    assert cells(found, GP, SON, at=NOW + CLOSING_ROUND), "the son lives"
    assert cells(found, GROWN_SON, SON, at=NOW + CLOSING_ROUND)
    assert cells(found, DUTY, at=NOW + HOUR / 2), "an emergency may be about how somebody died"
    assert timedelta(days=30) == CLOSING_ROUND
    later = derived(GP, subjects=died, now=NOW + CLOSING_ROUND)
    assert {grant.patient_id for grant in later} == {SON}


def test_who_stands_in_after_a_death_goes_on_no_longer_than_the_one_replaced() -> None:
    died = tuple(replace(one, died_at=NOW) for one in SUBJECTS)
    shared = lifting(CARER, both_ways=False)
    found = derived(GP, CARER, subjects=died, consents=[shared], replacements=[replacing(CARER, POH)])
    assert cells(found, POH) == {}
    found = derived(GP, subjects=died, replacements=[replacing(GP, POH)])
    assert cells(found, POH, at=NOW + CLOSING_ROUND) == {}
    assert cells(found, POH, at=NOW + CLOSING_ROUND - HOUR)


# taking part at all


def test_who_did_not_agree_to_take_part_is_seen_by_the_opening_organisation_and_their_own_people_alone() -> None:
    task = Task(WORKER.member_id, Law.WMO2015, ALWAYS)
    people = (GP, POH, NURSE, WORKER, CITIZEN, MENTOR, DUTY, seat(13, Role.VOLUNTEER))
    given: dict[str, Any] = {
        "consents": [lifting(WORKER, NURSE)],
        "tasks": [task],
        "represents": [representing()],
        "emergencies": [breaking(DUTY)],
    }
    informed = derived(*people, home=PRACTICE, **given)

    def asked(*agreed: Period) -> frozenset[Grant]:
        subjects = tuple(replace(one, participation=agreed) for one in SUBJECTS)
        return derived(*people, home=PRACTICE, subjects=subjects, **given)

    for one in (GP, POH, CITIZEN, MENTOR, DUTY):
        assert cells(asked(), one) == cells(informed, one) != {}
    for one in (NURSE, WORKER):
        assert cells(asked(), one) == {}
        assert cells(asked(ALWAYS), one) == cells(informed, one) != {}
        an_hour = asked(Period(NOW, NOW + HOUR), Period(NOW + 3 * HOUR))
        held = {hours: cells(an_hour, one, at=NOW + hours * HOUR) for hours in range(4)}
        assert held == {0: cells(informed, one), 1: {}, 2: {}, 3: cells(informed, one)}
    locum = derived(*people, home=PRACTICE, replacements=[replacing(GP, seat(9, Role.GP, CARE))], **given)
    assert cells(locum, seat(9, Role.GP, CARE)), "who stands in at the practice is at home there"
    assert cells(derived(NURSE, home=None, subjects=asked_of_all()), NURSE) == {}, "nobody is at home nowhere"


def asked_of_all() -> tuple[SubjectOf, ...]:
    """Return subjects who are asked and did not agree."""
    return tuple(replace(one, participation=()) for one in SUBJECTS)
