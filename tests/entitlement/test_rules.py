"""From members, tasks and consents to grants, without a database."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.tables import NEED_TO_KNOW, PUBLIC_TASK
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
from app.entitlement.grants import Grant, Inputs, Lifting, Period, Recipient, Replacement, Seat, SubjectOf, Task
from app.entitlement.rules import derive

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALWAYS = Period(NOW - 1000 * HOUR)
SINCE = 70
"""The position after which the consents of these tests were recorded."""
MOTHER, SON = PatientId(UUID(int=1)), PatientId(UUID(int=2))
PRACTICE, MUNICIPALITY = OrganisationId(UUID(int=11)), OrganisationId(UUID(int=12))
NAZARETH = TeamId(UUID(int=21))

CARE, YOUTH, SOCIAL = Domain.CARE, Domain.YOUTH, Domain.SOCIAL
PARTICIPATION, MEDICATION = Category.SOCIAL_PARTICIPATION, Category.MEDICATION

Cells = dict[tuple[Category, Domain], bool]
SOME = settings(max_examples=40, deadline=None)


def seat(number: int, role: Role, domain: Domain | None = None, **more: object) -> Seat:
    """Return an accepted member; member, engagement and account share a number."""
    plain = Seat(
        member_id=MemberId(UUID(int=100 + number)),
        engagement_id=EngagementId(UUID(int=200 + number)),
        account_id=AccountId(UUID(int=300 + number)),
        role=role,
        domain=domain,
        law=None,
        organisation_id=None,
        direct_treatment=False,
        from_seq=0,
        period=ALWAYS,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


GP = seat(1, Role.GP, CARE, organisation_id=PRACTICE, direct_treatment=True)
POH = seat(2, Role.POH, CARE, organisation_id=PRACTICE, direct_treatment=True)
NURSE = seat(3, Role.DISTRICT_NURSE, CARE, direct_treatment=True)
SPECIALIST = seat(4, Role.SPECIALIST, CARE, direct_treatment=True)
WORKER = seat(5, Role.SOCIAL_TEAM, SOCIAL, law=Law.WMO2015, organisation_id=MUNICIPALITY)
CARER = seat(6, Role.INFORMAL_CARER)
CITIZEN = seat(7, Role.CITIZEN)
GROWN_SON = seat(8, Role.CITIZEN)
SUBJECTS = (SubjectOf(MOTHER, CITIZEN.account_id), SubjectOf(SON, GROWN_SON.account_id))


def lifting(
    *to: Seat | Recipient, categories: Iterable[Category] = (PARTICIPATION,), number: int = 1, **more: object
) -> Lifting:
    """Return a consent of the mother, from care and both ways unless told otherwise."""
    named = tuple(one if isinstance(one, Recipient) else Recipient("member", one.member_id) for one in to)
    plain = Lifting(
        consent_id=ConsentId(UUID(int=400 + number)),
        patient_id=MOTHER,
        from_domains=frozenset({CARE}),
        categories=frozenset(categories),
        both_ways=True,
        from_seq=0,
        threads_from_seq=SINCE,
        period=ALWAYS,
        recipients=named,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def replacing(replaced: Seat, by: Seat, *, number: int = 1, period: Period = ALWAYS) -> Replacement:
    """Return that somebody stands in for somebody."""
    return Replacement(
        replacement_id=ReplacementId(UUID(int=500 + number)),
        replaced_engagement_id=replaced.engagement_id,
        replaced_account_id=replaced.account_id,
        substitute_engagement_id=by.engagement_id,
        substitute_account_id=by.account_id,
        period=period,
    )


def grants(
    *seats: Seat,
    consents: Iterable[Lifting] = (),
    tasks: Iterable[Task] = (),
    subjects: tuple[SubjectOf, ...] = SUBJECTS[:1],
    now: datetime = NOW,
) -> frozenset[Grant]:
    """Derive."""
    return derive(Inputs(subjects, seats, tuple(tasks), tuple(consents)), now=now)


def cells(found: Iterable[Grant], of: Seat, patient: PatientId = MOTHER, at: datetime = NOW) -> Cells:
    """Return what one engagement holds of one patient at a moment: cell to may-write."""
    held: Cells = {}
    for grant in found:
        if grant.engagement_id == of.engagement_id and grant.patient_id == patient and grant.period.holds(at):
            cell = (grant.category, grant.domain)
            held[cell] = held.get(cell, False) or grant.may_write
    return held


IMPLIED: Cells = {
    (category, domain): False for category in (Category.IDENTIFICATION, Category.CONTACT_NETWORK) for domain in Domain
}


# grounds that rest on the member alone

CLOSED_TO_PRACTICE = {
    *(Category.MENTAL_HEALTH, Category.ADDICTION, Category.ADVANCE_CARE_PLANNING),
    *(Category.FINANCE_DEBT, Category.WORK_INCOME, Category.SAFETY_MELDCODE),
}
PRACTICE_TABLE = {category: True for category in Category if category not in CLOSED_TO_PRACTICE}
NURSE_TABLE = {
    **dict.fromkeys(
        (
            *(Category.MEDICATION, Category.FUNCTIONAL_ADL, Category.LIVING_SITUATION),
            *(Category.PRACTICAL_COORDINATION, Category.PLAN_GOALS_ACTIONS, Category.POSITIVE_HEALTH),
        ),
        True,
    ),
    **dict.fromkeys(
        [Category.MEDICAL_SUMMARY, Category.SOCIAL_PARTICIPATION, Category.CRISIS_PLAN, Category.MDO_REPORT], False
    ),
}
SPECIALIST_TABLE = {
    **dict.fromkeys([Category.MEDICAL_SUMMARY, Category.MEDICATION], True),
    **dict.fromkeys([Category.FUNCTIONAL_ADL, Category.PLAN_GOALS_ACTIONS], False),
    **dict.fromkeys([Category.PRACTICAL_COORDINATION, Category.MDO_REPORT], False),
}


@pytest.mark.parametrize("domain", [CARE, YOUTH])
@pytest.mark.parametrize(
    ("role", "table"),
    [
        (Role.GP, PRACTICE_TABLE),
        (Role.POH, PRACTICE_TABLE),
        (Role.DISTRICT_NURSE, NURSE_TABLE),
        (Role.SPECIALIST, SPECIALIST_TABLE),
    ],
)
def test_treatment_opens_the_cells_of_the_need_to_know_table_and_no_other(
    role: Role, table: Mapping[Category, bool], domain: Domain
) -> None:
    one = seat(9, role, domain, direct_treatment=True)
    expected = {**IMPLIED, **{(category, domain): write for category, write in table.items()}}
    assert cells(grants(one), one) == expected
    assert cells(grants(replace(one, direct_treatment=False)), one) == {}


@pytest.mark.parametrize("role", sorted(set(Role) - set(NEED_TO_KNOW)))
@pytest.mark.parametrize("domain", [*Domain, None])
def test_nobody_else_is_opened_anything_by_treatment(role: Role, domain: Domain | None) -> None:
    one = seat(9, role, domain, direct_treatment=True)
    assert cells(grants(one), one) == {}


@pytest.mark.parametrize("role", sorted(NEED_TO_KNOW))
def test_a_social_engagement_is_never_opened_anything_by_treatment(role: Role) -> None:
    one = seat(9, role, SOCIAL, direct_treatment=True)
    assert cells(grants(one), one) == {}


TASK_TABLES = {
    Law.WMO2015: {
        *(Category.PLAN_GOALS_ACTIONS, Category.PRACTICAL_COORDINATION, Category.FUNCTIONAL_ADL),
        *(Category.LIVING_SITUATION, Category.SOCIAL_PARTICIPATION, Category.POSITIVE_HEALTH, Category.ZRM),
    },
    Law.JEUGDWET: {
        *(Category.PLAN_GOALS_ACTIONS, Category.PRACTICAL_COORDINATION, Category.YOUTH_DEVELOPMENT),
        *(Category.EDUCATION, Category.LIVING_SITUATION),
    },
    Law.PARTICIPATIEWET: {
        *(Category.PLAN_GOALS_ACTIONS, Category.PRACTICAL_COORDINATION, Category.SOCIAL_PARTICIPATION),
    },
    Law.WGS: {Category.PLAN_GOALS_ACTIONS, Category.PRACTICAL_COORDINATION},
}


@pytest.mark.parametrize("law", sorted(Law))
def test_a_public_task_opens_its_law_s_categories_in_the_social_domain(law: Law) -> None:
    worker = replace(WORKER, law=law)
    task = Task(WORKER.member_id, law, ALWAYS)
    held = cells(grants(worker, tasks=[task]), worker)
    assert held == {**IMPLIED, **{(category, SOCIAL): True for category in TASK_TABLES[law]}}
    assert cells(grants(worker), worker) == {}, "membership alone gives no cell"
    other_law = next(other for other in Law if other is not law)
    assert cells(grants(replace(worker, law=other_law), tasks=[task]), worker) == {}
    assert cells(grants(replace(worker, role=Role.VOLUNTEER), tasks=[task]), worker) == {}
    assert cells(grants(worker, tasks=[replace(task, member_id=GP.member_id)]), worker) == {}


def test_debts_and_income_are_never_implied() -> None:
    never = {Category.FINANCE_DEBT, Category.WORK_INCOME, Category.SAFETY_MELDCODE}
    assert not any(never & set(table) for table in PUBLIC_TASK.values())
    assert not any(never & set(table) for table in NEED_TO_KNOW.values())


def test_the_citizen_holds_everything_about_oneself_except_safety_meldcode() -> None:
    found = grants(CITIZEN, GROWN_SON, subjects=SUBJECTS)
    everything = {
        (category, domain): True
        for category in Category
        for domain in Domain
        if category is not Category.SAFETY_MELDCODE
    }
    assert cells(found, CITIZEN, MOTHER) == everything
    assert cells(found, CITIZEN, SON) == {}
    assert cells(found, GROWN_SON, SON) == everything


def test_a_professional_who_is_a_subject_acts_as_a_professional() -> None:
    own_doctor = replace(SPECIALIST, account_id=CITIZEN.account_id)
    assert cells(grants(own_doctor), own_doctor) == cells(grants(SPECIALIST), SPECIALIST)


# consent


def test_both_ways_opens_the_lifted_domain_the_own_domain_and_the_way_back() -> None:
    found = grants(GP, NURSE, WORKER, consents=[lifting(WORKER)])
    assert cells(found, WORKER) == {**IMPLIED, (PARTICIPATION, CARE): True, (PARTICIPATION, SOCIAL): True}
    assert cells(found, GP)[(PARTICIPATION, SOCIAL)] is True
    assert cells(found, NURSE)[(PARTICIPATION, SOCIAL)] is True, "the nurse reads it in care, and answers in social"


def test_one_way_only_reads() -> None:
    found = grants(GP, WORKER, consents=[lifting(WORKER, both_ways=False)])
    assert cells(found, WORKER) == {**IMPLIED, (PARTICIPATION, CARE): False}
    assert cells(found, GP) == cells(grants(GP), GP)


def test_the_way_back_opens_for_nobody_without_the_category() -> None:
    found = grants(SPECIALIST, WORKER, consents=[lifting(WORKER)])
    assert cells(found, SPECIALIST) == cells(grants(SPECIALIST), SPECIALIST)


def test_the_way_back_opens_for_whoever_holds_the_category_by_another_consent() -> None:
    poh_ggz = replace(POH, direct_treatment=False)
    to_poh = lifting(poh_ggz, categories=[Category.MENTAL_HEALTH], number=1)
    to_worker = lifting(WORKER, categories=[Category.MENTAL_HEALTH], number=2)
    found = grants(poh_ggz, WORKER, consents=[to_poh, to_worker])
    assert cells(found, poh_ggz)[(Category.MENTAL_HEALTH, SOCIAL)] is True
    alone = grants(poh_ggz, WORKER, consents=[to_worker])
    assert cells(alone, poh_ggz) == {}


def test_lifting_the_recipient_s_own_domain_as_well_takes_nothing_from_the_others() -> None:
    both = lifting(WORKER, from_domains=frozenset({CARE, SOCIAL}))
    assert cells(grants(GP, WORKER, consents=[both]), GP)[(PARTICIPATION, SOCIAL)] is True


def test_consent_between_two_of_one_domain_widens_nobody_s_table() -> None:
    locum = seat(9, Role.GP, CARE)
    shared = lifting(locum, categories=[Category.FUNCTIONAL_ADL])
    found = grants(SPECIALIST, locum, consents=[shared])
    assert cells(found, SPECIALIST)[(Category.FUNCTIONAL_ADL, CARE)] is False
    assert cells(found, locum)[(Category.FUNCTIONAL_ADL, CARE)] is True


def test_a_carer_reads_along_and_a_recipient_without_a_domain_opens_no_threads() -> None:
    school = seat(8, Role.SCHOOL)
    for recipient, writes in ((CARER, False), (school, True)):
        found = grants(GP, recipient, consents=[lifting(recipient)])
        assert cells(found, recipient) == {**IMPLIED, (PARTICIPATION, CARE): writes}
        assert cells(found, GP) == cells(grants(GP), GP)


def test_nothing_opens_on_whoever_does_not_take_part_or_longer_than_they_do() -> None:
    ends = NOW + timedelta(days=9)
    assert grants(WORKER, consents=[lifting(WORKER, patient_id=SON)]) == frozenset()
    joined = grants(GP, subjects=(SubjectOf(SON, None, until=ends),))
    assert {grant.period.end for grant in joined} == {ends}


@pytest.mark.parametrize(
    "recipient",
    [
        Recipient("member", WORKER.member_id),
        Recipient("organisation", MUNICIPALITY),
        Recipient("team", NAZARETH),
        Recipient("role", role=Role.SOCIAL_TEAM),
    ],
    ids=lambda recipient: str(recipient.type),
)
def test_every_kind_of_recipient_is_reached_and_nobody_else(recipient: Recipient) -> None:
    worker = replace(WORKER, teams=((NAZARETH, ALWAYS),))
    found = grants(worker, GP, CARER, consents=[lifting(recipient)])
    assert (PARTICIPATION, CARE) in cells(found, worker)
    assert cells(found, CARER) == {}
    other = replace(
        seat(9, Role.VOLUNTEER, SOCIAL),
        organisation_id=OrganisationId(UUID(int=13)),
        teams=((TeamId(UUID(int=22)), ALWAYS),),
    )
    assert cells(grants(other, consents=[lifting(recipient)]), other) == {}


def test_a_team_is_reached_only_by_whoever_is_in_it_now() -> None:
    worker = replace(WORKER, teams=((NAZARETH, Period(NOW - HOUR, NOW + HOUR)),))
    found = grants(worker, consents=[lifting(Recipient("team", NAZARETH))])
    assert cells(found, worker, at=NOW)
    assert cells(found, worker, at=NOW + HOUR) == {}
    assert cells(found, worker, at=NOW - 2 * HOUR) == {}


def test_no_subject_s_consent_opens_another_subject() -> None:
    found = grants(GP, WORKER, GROWN_SON, consents=[lifting(WORKER)], subjects=SUBJECTS)
    assert cells(found, WORKER, MOTHER)
    assert cells(found, WORKER, SON) == {}
    assert (PARTICIPATION, SOCIAL) not in cells(found, GP, SON)


def test_a_mother_may_let_her_son_read_and_never_needs_to_let_herself() -> None:
    shared = lifting(Recipient("role", role=Role.CITIZEN), both_ways=False)
    found = grants(CITIZEN, GROWN_SON, consents=[shared], subjects=SUBJECTS)
    assert cells(found, GROWN_SON, MOTHER) == {**IMPLIED, (PARTICIPATION, CARE): False}
    assert {grant.ground for grant in found if grant.engagement_id == CITIZEN.engagement_id} == {Ground.SUBJECT}


@SOME
@given(st.sets(st.sampled_from(sorted(Category)), min_size=1), st.booleans())
def test_safety_meldcode_is_never_opened(categories: set[Category], both_ways: bool) -> None:
    shared = lifting(
        *(WORKER, CARER, GROWN_SON, GP),
        categories={*categories, Category.SAFETY_MELDCODE},
        both_ways=both_ways,
        from_domains=frozenset(Domain),
    )
    task = Task(WORKER.member_id, Law.WMO2015, ALWAYS)
    found = grants(GP, WORKER, CARER, CITIZEN, GROWN_SON, consents=[shared], tasks=[task], subjects=SUBJECTS)
    assert Category.SAFETY_MELDCODE not in {grant.category for grant in found}


# what any cell implies


@pytest.mark.parametrize("category", sorted(set(Category) - {Category.SAFETY_MELDCODE}))
@pytest.mark.parametrize("domain", list(Domain))
def test_any_cell_implies_reading_who_it_is_about_and_who_is_there(category: Category, domain: Domain) -> None:
    shared = lifting(CARER, categories=[category], both_ways=False, from_domains=frozenset({domain}))
    assert cells(grants(CARER, consents=[shared]), CARER) == {**IMPLIED, (category, domain): False}


def test_what_is_implied_never_writes_and_shows_no_more_of_the_past() -> None:
    newcomer = replace(WORKER, from_seq=40)
    found = grants(newcomer, consents=[lifting(newcomer, from_seq=30)])
    implied = [grant for grant in found if grant.category is Category.CONTACT_NETWORK]
    assert implied
    assert {(grant.may_write, grant.visible_from_seq) for grant in implied} == {(False, 40)}


# bounds and periods


@SOME
@given(st.integers(0, 100), st.integers(0, 100))
def test_the_later_of_the_member_s_and_the_consent_s_bound_holds(of_member: int, of_consent: int) -> None:
    worker, doctor = replace(WORKER, from_seq=of_member), replace(GP, from_seq=of_member)
    found = grants(worker, doctor, consents=[lifting(worker, from_seq=of_consent)])
    shown = {g.visible_from_seq for g in found if g.ground is Ground.CONSENT}
    assert shown == {max(of_member, of_consent)}
    assert {g.visible_from_seq for g in found if g.ground is Ground.DIRECT_TREATMENT} == {of_member}


def test_one_s_own_file_has_no_beginning() -> None:
    linked_late = replace(CITIZEN, from_seq=40)
    assert {grant.visible_from_seq for grant in grants(linked_late)} == {0}


moments = st.integers(-5, 5).map(lambda hours: NOW + hours * HOUR)
periods = st.builds(
    lambda start, hours: Period(start, None if hours is None else start + hours * HOUR),
    moments,
    st.none() | st.integers(1, 8),
)


@SOME
@given(periods, periods, periods, moments)
def test_periods_are_half_open_and_a_grant_lasts_as_long_as_all_it_rests_on(
    of_member: Period, of_consent: Period, of_treatment: Period, at: datetime
) -> None:
    worker, doctor = replace(WORKER, period=of_member), replace(GP, period=of_treatment)
    found = grants(worker, doctor, consents=[lifting(worker, period=of_consent)], now=NOW - 10 * HOUR)
    reached = of_member.holds(at) and of_consent.holds(at)
    assert ((PARTICIPATION, CARE) in cells(found, worker, at=at)) is reached
    answered = reached and of_treatment.holds(at)
    assert ((PARTICIPATION, SOCIAL) in cells(found, doctor, at=at)) is answered


def test_a_period_ends_at_its_end_and_begins_at_its_start() -> None:
    period = Period(NOW, NOW + HOUR)
    instant = timedelta(microseconds=1)
    held = [period.holds(at) for at in (NOW - instant, NOW, NOW + HOUR - instant, NOW + HOUR)]
    assert held == [False, True, True, False]
    assert period.within(Period(NOW + HOUR)) is None
    assert period.within(Period(NOW - HOUR, NOW)) is None


@SOME
@given(periods, moments)
def test_what_lapsed_is_not_granted_and_what_is_to_come_is(period: Period, now: datetime) -> None:
    found = grants(replace(GP, period=period), now=now)
    lapsed = period.end is not None and period.end <= now
    assert bool(found) is not lapsed


# properties over any table

EVERYONE = (GP, POH, NURSE, SPECIALIST, WORKER, CARER, CITIZEN, GROWN_SON)

recipients = st.one_of(
    st.sampled_from(EVERYONE).map(lambda one: Recipient("member", one.member_id)),
    st.sampled_from([PRACTICE, MUNICIPALITY]).map(lambda one: Recipient("organisation", one)),
    st.sampled_from(sorted(Role)).map(lambda role: Recipient("role", role=role)),
)
consents = st.lists(
    st.builds(
        Lifting,
        consent_id=st.uuids().map(ConsentId),
        patient_id=st.sampled_from([MOTHER, SON]),
        from_domains=st.frozensets(st.sampled_from(Domain), min_size=1),
        categories=st.frozensets(st.sampled_from(Category), min_size=1, max_size=4),
        both_ways=st.booleans(),
        from_seq=st.integers(0, 3),
        threads_from_seq=st.integers(0, 3),
        period=periods,
        recipients=st.lists(recipients, min_size=1, max_size=3).map(tuple),
    ),
    max_size=4,
)
tables = st.lists(st.sampled_from(EVERYONE), unique=True, min_size=1).map(tuple)
tasks = st.lists(st.builds(Task, st.just(WORKER.member_id), st.sampled_from(Law), periods), max_size=2)
replacements = st.lists(
    st.builds(
        lambda number, pair, period: replacing(*pair, number=number, period=period),
        st.integers(1, 9),
        st.lists(st.sampled_from(EVERYONE), min_size=2, max_size=2, unique=True),
        periods,
    ),
    max_size=2,
)
inputs = st.builds(Inputs, st.just(SUBJECTS), tables, tasks.map(tuple), consents.map(tuple), replacements.map(tuple))

Open = dict[tuple[EngagementId, PatientId, Category, Domain, int], tuple[bool, int]]
OPENED = (0, 2, 9)
"""Where threads are opened: before, amid and after the consents that answer in them."""


def opened(found: Iterable[Grant], at: datetime) -> Open:
    """Return every open cell at a moment: may it be written, and from where on is it read."""
    held: Open = {}
    for g in found:
        if g.period.holds(at):
            for where in OPENED:
                if g.threads_from_seq <= where:
                    key = (g.engagement_id, g.patient_id, g.category, g.domain, where)
                    write, from_seq = held.get(key, (False, g.visible_from_seq))
                    held[key] = (write or g.may_write, min(from_seq, g.visible_from_seq))
    return held


def narrower(less: Open, more: Open) -> bool:
    """Whether everything open in ``less`` is as open in ``more``."""
    return all(
        key in more and more[key][0] >= write and more[key][1] <= from_seq for key, (write, from_seq) in less.items()
    )


@SOME
@given(inputs, moments, st.data())
def test_less_consent_never_opens_more(given_: Inputs, at: datetime, data: st.DataObject) -> None:
    kept = tuple(consent for consent in given_.consents if data.draw(st.booleans()))
    less = derive(replace(given_, consents=kept), now=NOW - 10 * HOUR)
    assert narrower(opened(less, at), opened(derive(given_, now=NOW - 10 * HOUR), at))


@SOME
@given(inputs, moments, st.data())
def test_a_narrower_consent_never_opens_more(given_: Inputs, at: datetime, data: st.DataObject) -> None:
    trimmed = tuple(
        replace(
            consent,
            categories=frozenset(data.draw(st.sets(st.sampled_from(sorted(consent.categories))))),
            from_domains=frozenset(data.draw(st.sets(st.sampled_from(sorted(consent.from_domains))))),
            both_ways=consent.both_ways and data.draw(st.booleans()),
            from_seq=consent.from_seq + data.draw(st.integers(0, 2)),
        )
        for consent in given_.consents
    )
    less = derive(replace(given_, consents=trimmed), now=NOW - 10 * HOUR)
    assert narrower(opened(less, at), opened(derive(given_, now=NOW - 10 * HOUR), at))


@SOME
@given(inputs, moments, st.data())
def test_who_leaves_takes_everything_of_theirs_and_opens_nothing(
    given_: Inputs, at: datetime, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(given_.seats))
    rest = replace(
        given_,
        seats=tuple(one for one in given_.seats if one is not gone),
        replacements=tuple(one for one in given_.replacements if one.substitute_engagement_id != gone.engagement_id),
    )
    without = opened(derive(rest, now=NOW - 10 * HOUR), at)
    assert gone.engagement_id not in {key[0] for key in without}
    assert narrower(without, opened(derive(given_, now=NOW - 10 * HOUR), at))


@SOME
@given(inputs)
def test_a_withdrawn_consent_leaves_no_grant_behind(given_: Inputs) -> None:
    for consent in given_.consents:
        rest = tuple(other for other in given_.consents if other is not consent)
        found = derive(replace(given_, consents=rest), now=NOW)
        assert consent.consent_id not in {grant.consent_id for grant in found}


@SOME
@given(inputs, moments, moments)
def test_when_one_derives_does_not_matter(given_: Inputs, first: datetime, at: datetime) -> None:
    """Derived earlier, the same rows open and close by time: nobody has to be there at the moment itself."""
    earlier = derive(given_, now=min(first, at))
    assert opened(earlier, at) == opened(derive(given_, now=at), at)


@SOME
@given(inputs)
def test_every_grant_says_what_it_rests_on(given_: Inputs) -> None:
    known = {consent.consent_id: consent for consent in given_.consents}
    seats = {one.engagement_id: one for one in given_.seats}
    for grant in derive(given_, now=NOW):
        assert grant.period.end is None or grant.period.end > max(NOW, grant.period.start)
        if grant.ground is not Ground.REPLACEMENT:
            assert (grant.consent_id is not None) is (grant.ground is Ground.CONSENT)
            assert seats[grant.engagement_id].member_id == grant.member_id
        if grant.consent_id is not None:
            assert known[grant.consent_id].patient_id == grant.patient_id


@SOME
@given(inputs, moments)
def test_a_substitute_holds_exactly_what_the_one_replaced_holds(given_: Inputs, at: datetime) -> None:
    """Every ground but subjecthood and replacement itself, on the same bounds, while the replacement lasts."""
    found = derive(given_, now=NOW - 10 * HOUR)
    for one in given_.replacements:
        copied = {
            replace(grant, engagement_id=one.replaced_engagement_id, account_id=one.replaced_account_id)
            for grant in found
            if grant.replacement_id == one.replacement_id and grant.period.holds(at)
        }
        own = [
            grant
            for grant in found
            if grant.engagement_id == one.replaced_engagement_id
            and grant.ground not in (Ground.SUBJECT, Ground.REPLACEMENT)
            and grant.period.holds(at)
        ]
        twins = [each for each in given_.replacements if each.replacement_id == one.replacement_id]
        if len(twins) == 1:
            assert opened(copied, at) == (opened(own, at) if one.period.holds(at) else {})
            assert {grant.on_behalf_of for grant in copied} <= {one.replaced_account_id}


def test_what_a_consent_answers_to_is_what_is_opened_after_it() -> None:
    """Lifting social secrecy for the practice nurse opens no thread of the practice that was there before."""
    task = Task(WORKER.member_id, Law.WMO2015, ALWAYS)
    social = lifting(Recipient("role", role=Role.POH), from_domains=frozenset({SOCIAL}))
    found = grants(POH, WORKER, consents=[social], tasks=[task])
    answers = [g for g in found if g.engagement_id == WORKER.engagement_id and g.domain is CARE]
    assert {(g.category, g.threads_from_seq) for g in answers if g.ground is Ground.CONSENT} >= {
        (PARTICIPATION, SINCE)
    }
    assert all(g.threads_from_seq == SINCE for g in answers if g.category is PARTICIPATION)
    # For the nurse, who holds the cell by treatment, nothing changes there; what is lifted has no such bound.
    own = [g for g in found if g.engagement_id == POH.engagement_id and g.category is PARTICIPATION]
    assert {(g.domain, g.ground, g.threads_from_seq) for g in own} == {
        (CARE, Ground.DIRECT_TREATMENT, 0),
        (CARE, Ground.CONSENT, SINCE),
        (SOCIAL, Ground.CONSENT, 0),
    }
